import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** One thing that a program said to a server or heard from it, in the order in which it passed. */
export interface Passed {
  direction: 'out' | 'in';
  /** Of NATS the verb and the subject; of Redis the command and its first arguments. */
  words: string[];
}

type Reader = (bytes: Buffer) => { words: string[]; length: number } | undefined;

/** A server's port with somebody listening in. Everything is passed on as it is. */
export class WireTap {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  /** @param log where what passes is told, of several taps in one order */
  static async open(target: string, readOut: Reader, readIn: Reader | undefined, log: Passed[]): Promise<WireTap> {
    const to = new URL(target);
    const server = createServer((near) => {
      const far = connect(Number(to.port), to.hostname);
      listen(near, far, 'out', readOut, log);
      listen(far, near, 'in', readIn, log);
      for (const socket of [near, far]) {
        tap.sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => (near.destroy(), far.destroy()));
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const tap = new WireTap(server, `${to.protocol}//127.0.0.1:${(server.address() as AddressInfo).port}`);
    return tap;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

function listen(
  from: Socket,
  to: Socket,
  direction: Passed['direction'],
  read: Reader | undefined,
  log: Passed[],
): void {
  let rest = Buffer.alloc(0);
  from.on('data', (bytes) => {
    rest = read ? Buffer.concat([rest, bytes]) : rest;
    for (let found = read?.(rest); found !== undefined; found = read?.(rest)) {
      log.push({ direction, words: found.words });
      rest = rest.subarray(found.length);
    }
    // Only then: what an answer causes comes after it in the log.
    to.write(bytes);
  });
}

/** Verb and subject of a NATS message, or the verb alone. */
export const readNats: Reader = (bytes) => {
  const end = bytes.indexOf('\r\n');
  if (end < 0) return undefined;
  const words = bytes.toString('utf8', 0, end).split(/\s+/);
  const verb = words[0]!.toUpperCase();
  const hasPayload = ['PUB', 'HPUB', 'MSG', 'HMSG'].includes(verb);
  const length = end + 2 + (hasPayload ? Number(words.at(-1)) + 2 : 0);
  return bytes.length < length ? undefined : { words: hasPayload ? [verb, words[1]!] : [verb], length };
};

/** A Redis command with its arguments. */
export const readRedis: Reader = (bytes) => {
  let at = 0;
  const number = (): number | undefined => {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const value = Number(bytes.toString('latin1', at + 1, end));
    at = end + 2;
    return value;
  };
  const count = number();
  if (count === undefined) return undefined;
  const words: string[] = [];
  for (let i = 0; i < count; i++) {
    const length = number();
    if (length === undefined || bytes.length < at + length + 2) return undefined;
    words.push(bytes.toString('utf8', at, at + length));
    at += length + 2;
  }
  return { words, length: at };
};
