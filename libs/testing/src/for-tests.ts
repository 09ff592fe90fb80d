import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  ensureDatabase,
  startNats,
  startPostgres,
  startRedis,
  UNSAFE_POSTGRES,
  type RunningServer,
} from './servers.js';

const workspace = resolve(import.meta.dirname, '../../..');

/** Where servers that were fetched are kept, shared by tests and the launcher. */
export function serverCacheDir(): string {
  return process.env['MERITORDER_SERVERS_DIR'] ?? join(workspace, '.data', 'servers');
}

export interface TestServers {
  nats(config?: (port: number, storeDir: string) => string): Promise<RunningServer>;
  redis(options?: { port?: number; args?: string[] }): Promise<RunningServer>;
  /** A Postgres of its own, or a new database in one that runs. */
  postgres(): Promise<RunningServer>;
  folder(name: string): string;
  stop(): Promise<void>;
}

/**
 * Real servers for one test file, each its own process in a temporary folder. Call `stop` in afterAll. A server that cannot
 * be had fails the test with the line that says how to get it.
 */
export function testServers(): TestServers {
  const root = mkdtempSync(join(tmpdir(), 'meritorder-test-'));
  const running: RunningServer[] = [];
  let count = 0;
  const options = () => ({ cacheDir: serverCacheDir(), log: () => {}, dataDir: join(root, `server-${count++}`) });
  const keep = async (starting: Promise<RunningServer>): Promise<RunningServer> => {
    const server = await starting;
    running.push(server);
    return server;
  };
  return {
    nats: (config) => keep(startNats({ ...options(), ...(config ? { config } : {}) })),
    redis: (redisOptions) => keep(startRedis({ ...options(), ...redisOptions })),
    postgres: async () => {
      // Other users must be able to enter, since Postgres does not run as root.
      const { chmodSync } = await import('node:fs');
      chmodSync(root, 0o755);
      return keep(startPostgres({ ...options(), database: 'meritorder', args: UNSAFE_POSTGRES }));
    },
    folder: (name) => join(root, name),
    async stop() {
      await Promise.all(running.splice(0).map((server) => server.stop()));
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export { ensureDatabase };

/** Polls until `check` returns something other than undefined and false. @throws Error with the message after the deadline. */
export async function waitFor<T>(
  check: () => T | undefined | false | Promise<T | undefined | false>,
  message: string,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline)
      throw new Error(`waited ${timeoutMs} ms for: ${message}${last ? ` (${(last as Error).message})` : ''}`);
    await new Promise((r) => setTimeout(r, 20));
  }
}
