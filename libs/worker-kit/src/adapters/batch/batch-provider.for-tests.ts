import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import type { BatchAccount } from '../../application/batch/batch-ports.js';

export interface Asked {
  line: string;
  headers: IncomingHttpHeaders;
  body: string;
}
const servers: Server[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.close()));

/**
 * What a provider was asked, each answered by the first that fits. A text is answered as it is, and what an answer has as `headers`
 * are its headers too.
 */
export async function provider(path: string, protocol: string, answers: Record<string, object | string>) {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const line = `${request.method} ${request.url}`;
    asked.push({ line, headers: request.headers, body: Buffer.concat(parts).toString() });
    const [, answer] = Object.entries(answers).find(([start]) => line.startsWith(start)) ?? [];
    const { headers } = (answer ?? {}) as { headers?: OutgoingHttpHeaders };
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json', ...headers });
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer ?? {}));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const backend = { protocol, model: 'le', batch: { completionSeconds: 90_000 } };
  const account = { backend, credential: { id: 'main', baseUrl: `${url}${path}`, apiKey: 'key' } } as BatchAccount;
  return { asked, account, url };
}
