import { join } from 'node:path';
import { startRedis, waitFor, type RunningServer } from '@meritorder/testing';
import { Redis } from 'ioredis';
import { RedisProxy } from './redis-proxy.js';

/** Two servers behind one address that services use. */
export class RedisServers {
  private constructor(
    private current: RunningServer,
    private other: RunningServer,
    readonly proxy: RedisProxy,
  ) {}

  static async start(dataDir: string, cacheDir: string, log: (line: string) => void): Promise<RedisServers> {
    const [first, second] = await Promise.all(
      ['redis-a', 'redis-b'].map((name) => startRedis({ dataDir: join(dataDir, name), cacheDir, log })),
    );
    return new RedisServers(first!, second!, await RedisProxy.start(first!.port));
  }

  get url(): string {
    return this.proxy.url;
  }

  /** Of the servers themselves, past the proxy. */
  get urls(): string[] {
    return [this.current.url, this.other.url];
  }

  /** The server that is not in charge becomes a replica; returns when it is in step. */
  async replicate(): Promise<void> {
    await ask(this.other, (redis) => redis.replicaof('127.0.0.1', this.current.port));
    await waitFor(
      async () => (await ask(this.other, (redis) => redis.info('replication'))).includes('master_link_status:up'),
      { message: 'the replica to be in step', timeoutMs: 30_000 },
    );
  }

  /** The replica hears of nothing from now on: what it has grows stale. It is a primary of its own, as after a promotion. */
  async partReplica(): Promise<void> {
    await ask(this.other, (redis) => redis.replicaof('NO', 'ONE'));
  }

  /** The other server is in charge, with whatever it has. The first one lives on and keeps what it had. */
  failover(): void {
    [this.current, this.other] = [this.other, this.current];
    this.proxy.pointTo(this.current.port);
  }

  async wipe(): Promise<void> {
    await ask(this.current, (redis) => redis.flushall());
  }

  async stop(): Promise<void> {
    await this.proxy.stop();
    await Promise.all([this.current.stop(), this.other.stop()]);
  }
}

async function ask<T>(server: RunningServer, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(server.url, { lazyConnect: true, maxRetriesPerRequest: 1 });
  try {
    await redis.connect();
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}
