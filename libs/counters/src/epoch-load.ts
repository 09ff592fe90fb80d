import type { Redis } from 'ioredis';
import { invariant, type Nanos } from '@meritorder/kernel';
import { keys, parseWindowKey } from './keys.js';
import type { LoadedHold, LoadedWindow, WindowCounters } from './replies.js';

/** What Redis counts exactly in 64 bits; comparisons with limits below 2^53 are right up to here. */
const MAX_LOADED_NANOS: Nanos = 2n ** 62n;
const CHUNK = 500;

/** Writes windows of an epoch that is being built. Loading them again changes nothing. */
export async function loadWindows(redis: Redis, epochId: number, windows: readonly LoadedWindow[]): Promise<void> {
  const pipeline = redis.pipeline();
  for (const w of windows) {
    for (const amount of [w.settledNanos, w.unconfirmedNanos, w.reservedNanos])
      invariant(
        amount >= 0n && amount <= MAX_LOADED_NANOS,
        `window ${w.budget}/${w.window} cannot be counted: ${amount}`,
      );
    const key = keys.window(epochId, w.budget, w.window);
    pipeline.hset(key, {
      limit: w.limitNanos.toString(),
      version: w.limitVersion ?? 0,
      settled: w.settledNanos.toString(),
      unconfirmed: w.unconfirmedNanos.toString(),
      reserved: w.reservedNanos.toString(),
      peak: 0,
    });
    pipeline.sadd(keys.windows(epochId), key);
  }
  await execute(pipeline);
}

export async function loadHolds(redis: Redis, epochId: number, holds: readonly LoadedHold[]): Promise<void> {
  const pipeline = redis.pipeline();
  for (const hold of holds) {
    const windows = hold.windows
      .map((w) => `${w.basis === 'cash' ? 'c' : 'f'}${keys.window(epochId, w.budget, w.window)}`)
      .join('\n');
    pipeline.hset(keys.hold(epochId, hold.attemptId), {
      s: hold.state,
      c: hold.cashNanos.toString(),
      f: hold.fullNanos.toString(),
      g: 0,
      t: 0,
      l: 0,
      w: windows,
    });
  }
  await execute(pipeline);
}

/** Windows of an epoch: all, or those that are named and exist. */
export async function readWindows(
  redis: Redis,
  epochId: number,
  only?: readonly { budget: string; window: string }[],
): Promise<WindowCounters[]> {
  const names = only
    ? only.map((w) => keys.window(epochId, w.budget, w.window))
    : await redis.smembers(keys.windows(epochId));
  const found: WindowCounters[] = [];
  for (let i = 0; i < names.length; i += CHUNK) {
    const chunk = names.slice(i, i + CHUNK);
    const pipeline = redis.pipeline();
    for (const key of chunk) pipeline.hmget(key, 'limit', 'settled', 'unconfirmed', 'reserved', 'peak');
    const rows = await execute(pipeline);
    rows.forEach((row, j) => {
      const [limit, settled, unconfirmed, reserved, peak] = row as (string | null)[];
      if (limit === null) return;
      found.push({
        ...parseWindowKey(chunk[j]!),
        limitNanos: BigInt(limit!),
        settledNanos: BigInt(settled!),
        unconfirmedNanos: BigInt(unconfirmed!),
        reservedNanos: BigInt(reserved!),
        peakNanos: BigInt(peak ?? 0),
      });
    });
  }
  return found;
}

export async function dropKeys(
  redis: Redis,
  pattern: string,
  only: (key: string) => boolean = () => true,
): Promise<void> {
  let cursor = '0';
  do {
    const [next, found] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 500);
    cursor = next;
    const drop = found.filter(only);
    if (drop.length > 0) await redis.unlink(...drop);
  } while (cursor !== '0');
}

async function execute(pipeline: ReturnType<Redis['pipeline']>): Promise<unknown[]> {
  return ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
}
