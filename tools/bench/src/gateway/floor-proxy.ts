import { createServer } from 'node:http';
import { Pool } from 'undici';

/**
 * The least that a proxy can do: Node's HTTP server in front of undici, every byte handed on, nothing read. Its one argument is the
 * upstream's origin; it prints its own.
 */
const upstream = new Pool(process.argv[2]!, { connections: 1_024, pipelining: 1 });
const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const left = new AbortController();
    response.once('close', () => left.abort());
    upstream
      .stream(
        {
          method: 'POST',
          path: request.url!,
          headers: { 'content-type': 'application/json' },
          body: Buffer.concat(parts),
          signal: left.signal,
        },
        ({ statusCode, headers }) => {
          const { connection: _c, 'transfer-encoding': _t, 'keep-alive': _k, ...rest } = headers;
          return response.writeHead(statusCode, rest);
        },
      )
      .catch(() => response.destroy());
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as { port: number }).port}`));
process.stdin.on('end', () => process.exit(0)).resume();
