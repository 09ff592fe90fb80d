import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startNats, type NatsOptions } from './nats.js';
import { startPostgres, UNSAFE_POSTGRES, type RunningPostgres } from './postgres.js';
import { startRedis, type RedisOptions } from './redis.js';
import type { RunningServer } from './running-server.js';

const workspace = resolve(import.meta.dirname, '../../..');

/** Where servers that were fetched are kept, shared by tests and the launcher. */
export function serverCacheDir(): string {
  return process.env['MERITORDER_SERVERS_DIR'] ?? join(workspace, '.data', 'servers');
}

export type TestNatsOptions = Pick<NatsOptions, 'port' | 'config' | 'configFile' | 'jetstream'>;
export type TestRedisOptions = Pick<RedisOptions, 'port' | 'args' | 'appendOnly'>;
export interface TestPostgresOptions {
  /** Default `meritorder`. */
  database?: string;
  args?: string[];
}

export interface TestServers {
  nats(options?: ((port: number, storeDir: string) => string) | TestNatsOptions): Promise<RunningServer>;
  redis(options?: TestRedisOptions): Promise<RunningServer>;
  postgres(options?: TestPostgresOptions): Promise<RunningPostgres>;
  /** A path in the temporary folder. */
  folder(name: string): string;
  /** Stops all of them and removes the temporary folder. */
  stop(): Promise<void>;
}

/**
 * Real servers for one test file, each its own process in a temporary folder, so that a test may wipe and kill them. Call
 * `stop` in afterAll. A server that cannot be had fails the test with the line that says how to get it.
 */
export function testServers(): TestServers {
  const root = mkdtempSync(join(tmpdir(), 'meritorder-test-'));
  // Other users must be able to enter, since Postgres does not run as root.
  chmodSync(root, 0o755);
  const starting: Promise<RunningServer>[] = [];
  const place = () => ({ cacheDir: serverCacheDir(), log: () => {}, dataDir: join(root, `server-${starting.length}`) });
  const keep = <S extends RunningServer>(server: Promise<S>): Promise<S> => {
    starting.push(server);
    return server;
  };
  return {
    nats: (options = {}) =>
      keep(startNats({ ...place(), ...(typeof options === 'function' ? { config: options } : options) })),
    redis: (options) => keep(startRedis({ ...place(), ...options })),
    postgres: ({ database = 'meritorder', args = [] } = {}) =>
      keep(startPostgres({ ...place(), database, args: [...UNSAFE_POSTGRES, ...args] })),
    folder: (name) => join(root, name),
    async stop() {
      // Those that are still starting too: a file may end while one of its hooks has failed.
      const settled = await Promise.allSettled(starting.splice(0));
      await Promise.all(settled.map((s) => (s.status === 'fulfilled' ? s.value.stop() : undefined)));
      rmSync(root, { recursive: true, force: true });
    },
  };
}
