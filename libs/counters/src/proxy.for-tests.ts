import { connect as connectTcp, createServer, type Socket } from 'node:net';

export interface TestProxy {
  url: string;
  /** Replies that were swallowed. */
  dropped(): number;
  /** Ends all connections; new ones go to another server. */
  pointTo(port: number): void;
  close(): void;
}

/**
 * A TCP proxy in front of Redis. It swallows the reply to the first request that mentions `marker` and ends the connection after a
 * while, as a time-out after applying does.
 */
export async function startProxy(target: number, marker?: string): Promise<TestProxy> {
  let dropped = 0;
  let port = target;
  const sockets = new Set<Socket>();
  const endAll = (): void => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const server = createServer((client) => {
    const upstream = connectTcp(port, '127.0.0.1');
    sockets.add(client).add(upstream);
    let swallow = false;
    let silent = false;
    client.on('data', (data) => {
      if (marker !== undefined && dropped === 0 && data.includes(marker)) swallow = true;
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (swallow && !data.toString().startsWith('-NOSCRIPT')) {
        // Nothing more either: a connection never loses bytes in the middle.
        swallow = false;
        silent = true;
        dropped++;
        setTimeout(() => client.destroy(), 300);
        return;
      }
      if (!silent && !client.destroyed) client.write(data);
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    for (const socket of [client, upstream]) socket.on('error', () => {});
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `redis://127.0.0.1:${(server.address() as { port: number }).port}`,
    dropped: () => dropped,
    pointTo(other) {
      port = other;
      endAll();
    },
    close() {
      endAll();
      server.close();
    },
  };
}
