import { Redis } from 'ioredis';

/** Connects and looks whether counters are safe there. @throws Error with one line: unreachable, too old, or allowed to evict. */
export function openRedis(url: string, commandTimeoutMs: number): Redis {
  return new Redis(url, {
    lazyConnect: true,
    commandTimeout: commandTimeoutMs,
    // A command that was under way when the connection broke is not sent again by the client: it could reach another server.
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(500, 25 * times),
  });
}

export async function checkServer(redis: Redis): Promise<void> {
  const version = /redis_version:(\d+)\.(\d+)/.exec(await redis.info('server'));
  if (!version || Number(version[1]) < 6 || (Number(version[1]) === 6 && Number(version[2]) < 2))
    throw new Error('it is older than 6.2');
  const policy = (await redis.config('GET', 'maxmemory-policy').catch(() => ['', 'noeviction'])) as string[];
  if (policy[1] !== 'noeviction')
    throw new Error(`its maxmemory-policy is ${policy[1]}, which loses counters; set it to noeviction`);
}

/** A URL as it may be shown. */
export function withoutPassword(url: string): string {
  return url.replace(/:[^:@/]*@/, ':***@');
}
