import { afterAll, beforeAll } from 'vitest';
import {
  testServers,
  type TestNatsOptions,
  type TestPostgresOptions,
  type TestRedisOptions,
  type TestServers,
} from './for-tests.js';
import type { RunningPostgres } from './postgres.js';
import type { RunningServer } from './running-server.js';
import type { ServerProcess } from './server-process.js';

/** The first use on a machine may have to fetch a server. */
const START_LIMIT_MS = 240_000;

/** A nats-server with JetStream for this test file; it runs from `beforeAll` to `afterAll`. */
export function useNats(options: TestNatsOptions = {}): RunningServer {
  return new ServerInUse('useNats', (servers) => servers.nats(options));
}

/** A redis-server for this test file, which may wipe and kill it; it runs from `beforeAll` to `afterAll`. */
export function useRedis(options: TestRedisOptions = {}): RunningServer {
  return new ServerInUse('useRedis', (servers) => servers.redis(options));
}

/** A Postgres for this test file; it runs from `beforeAll` to `afterAll`. `createDatabase` gives a test one of its own. */
export function usePostgres(options: TestPostgresOptions = {}): RunningPostgres {
  return new PostgresInUse('usePostgres', (servers) => servers.postgres(options));
}

/** Those of one file start together, in the hook of the first. */
const declared = new Set<ServerInUse<RunningServer>>();

class ServerInUse<S extends RunningServer> implements RunningServer {
  private readonly servers = testServers();
  private starting: Promise<void> | undefined;
  private started: S | undefined;

  constructor(
    private readonly name: string,
    private readonly begin: (servers: TestServers) => Promise<S>,
  ) {
    declared.add(this);
    beforeAll(async () => {
      for (const server of declared) server.start().catch(() => {});
      declared.clear();
      await this.start();
    }, START_LIMIT_MS);
    afterAll(() => this.servers.stop(), START_LIMIT_MS);
  }

  start(): Promise<void> {
    this.starting ??= this.begin(this.servers).then((server) => {
      this.started = server;
    });
    return this.starting;
  }

  protected get server(): S {
    if (!this.started)
      throw new Error(`the server of ${this.name}() runs from beforeAll on: use it in hooks and tests`);
    return this.started;
  }

  get url(): string {
    return this.server.url;
  }
  get port(): number {
    return this.server.port;
  }
  get pid(): number {
    return this.server.pid;
  }
  get dataDir(): string {
    return this.server.dataDir;
  }
  get logFile(): string {
    return this.server.logFile;
  }
  get process(): ServerProcess {
    return this.server.process;
  }
  stop(): Promise<void> {
    return this.server.stop();
  }
  kill(): Promise<void> {
    return this.server.kill();
  }
  restart(): Promise<void> {
    return this.server.restart();
  }
}

class PostgresInUse extends ServerInUse<RunningPostgres> implements RunningPostgres {
  createDatabase(name: string): Promise<string> {
    return this.server.createDatabase(name);
  }
}
