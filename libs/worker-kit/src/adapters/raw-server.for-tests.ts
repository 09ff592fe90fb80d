import { createServer, type AddressInfo, type Socket } from 'node:net';

/** A request as it came over the socket. */
export interface RawRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: any;
}

export interface RawServer {
  url: string;
  /** Every physical call, in order. */
  requests: RawRequest[];
  stop(): Promise<void>;
}

/** A server that writes the bytes it is told to, so that an answer can be cut anywhere. */
export async function rawServer(answer: (request: RawRequest, socket: Socket) => unknown): Promise<RawServer> {
  const requests: RawRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    let received = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      const headEnd = received.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const [first, ...lines] = received.subarray(0, headEnd).toString('latin1').split('\r\n');
      const headers = Object.fromEntries(
        lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
      );
      const end = headEnd + 4 + Number(headers['content-length'] ?? 0);
      if (received.length < end) return;
      const [method, path] = first!.split(' ');
      const text = received.subarray(headEnd + 4, end).toString('utf8');
      received = received.subarray(end);
      const request = { method: method!, path: path!, headers, body: text === '' ? undefined : JSON.parse(text) };
      requests.push(request);
      answer(request, socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A whole answer with its length. */
export function plain(status: number, body: string, headers: Record<string, string> = {}): string {
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} x\r\ncontent-type: application/json\r\n${more.join('')}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** `length`: the end of the connection is the end of the answer, so that a cut cannot be told from it. */
export type Framing = 'chunked' | 'until-close';
export type Cut = 'end' | 'reset';

/** Writes the first `bytes` of a stream, in the pieces given by `pieceBytes`, and cuts the connection there; or ends it well. */
export function sendStream(
  socket: Socket,
  stream: Buffer,
  { bytes = stream.length, framing = 'chunked', cut = 'end', pieceBytes = stream.length }: SendOptions = {},
): void {
  const chunked = framing === 'chunked';
  socket.write(
    `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n${chunked ? 'transfer-encoding: chunked' : 'connection: close'}\r\n\r\n`,
  );
  for (let from = 0; from < bytes; from += Math.max(1, pieceBytes)) {
    const piece = stream.subarray(from, Math.min(bytes, from + Math.max(1, pieceBytes)));
    if (chunked) socket.write(`${piece.length.toString(16)}\r\n`);
    socket.write(piece);
    if (chunked) socket.write('\r\n');
  }
  if (bytes >= stream.length) {
    if (chunked) socket.write('0\r\n\r\n');
    else socket.end();
  } else if (cut === 'end') socket.end();
  // What is written must have left before the reset discards it.
  else socket.write('', () => setImmediate(() => socket.resetAndDestroy()));
}

export interface SendOptions {
  bytes?: number;
  framing?: Framing;
  cut?: Cut;
  pieceBytes?: number;
}
