import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { testServers, type RunningServer, type TestRedisOptions, type TestServers } from '@meritorder/testing';
import { Counters, type CandidateWindow, type ReserveCandidate, type ReserveReply } from './index.js';

/** Counters on a Redis of this file's own, wiped and with a new open epoch before each test. */
export interface CountersFixture {
  servers: TestServers;
  redis: RunningServer;
  raw: Redis;
  counters: Counters;
  epoch: number;
  newEpoch(): Promise<void>;
  reserve(attemptId: string, ...candidates: ReserveCandidate[]): Promise<ReserveReply>;
}

export function useCounters(
  options: TestRedisOptions = {},
  prepare?: (raw: Redis) => Promise<unknown>,
): CountersFixture {
  const fixture = {
    servers: testServers(),
    epoch: 0,
    async newEpoch() {
      await fixture.counters.beginEpoch(++fixture.epoch);
      expect(await fixture.counters.openEpoch(fixture.epoch, 0)).toBe('ok');
    },
    reserve: (attemptId, ...candidates) => fixture.counters.reserve({ attemptId, leaseMs: 60_000, candidates }),
  } as CountersFixture;
  beforeAll(async () => {
    fixture.redis = await fixture.servers.redis(options);
    fixture.raw = new Redis(fixture.redis.url);
    await prepare?.(fixture.raw);
    fixture.counters = await Counters.connect(fixture.redis.url);
  });
  afterAll(async () => {
    await fixture.counters.close();
    fixture.raw.disconnect();
    await fixture.servers.stop();
  });
  beforeEach(async () => {
    await fixture.raw.flushall();
    await fixture.newEpoch();
  });
  return fixture;
}

export const win = (
  budget: string,
  limit: bigint,
  basis: 'cash' | 'full' = 'cash',
  limitVersion = 1,
): CandidateWindow => ({ budget, window: 'total', basis, limitNanos: limit, limitVersion });

/** A candidate of one price whatever it answers; own hardware counts double in full cost. */
export const flat = (nanos: bigint, ...windows: CandidateWindow[]): ReserveCandidate => ({
  backend: 'b',
  maxTokens: 1,
  minTokens: 1,
  cash: { fixedNanos: nanos, perOutputTokenNanos: 0n },
  full: { fixedNanos: nanos * 2n, perOutputTokenNanos: 0n },
  windows,
});
