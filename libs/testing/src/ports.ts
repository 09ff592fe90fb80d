import { createServer } from 'node:net';

/**
 * Below the range from which systems take the source ports of outgoing connections (from 32768 on Linux, 49152 elsewhere): a
 * client that keeps reconnecting to a server which is down would otherwise, now and then, connect to itself and hold the port.
 */
const LOWEST = 20_000;
const HIGHEST = 32_000;

/** A port of 127.0.0.1 that nobody listens on now. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if ((await tryPort(port)) === undefined) return port;
  }
  throw new Error(`no free port on 127.0.0.1 between ${LOWEST} and ${HIGHEST}`);
}

/** @throws Error naming the port and what to set instead. */
export async function assertPortFree(port: number, what: string, setting: string): Promise<void> {
  const code = await tryPort(port);
  if (code === 'EADDRINUSE') throw portInUse(port, what, setting);
  if (code !== undefined)
    throw new Error(`port ${port} for ${what} cannot be used (${code}); set ${setting} to another port`);
}

export function portInUse(port: number, what: string, setting: string): Error {
  return new Error(`port ${port} for ${what} is in use; set ${setting} to another port`);
}

/** The reason why one cannot listen there, or undefined. */
function tryPort(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(undefined)));
  });
}
