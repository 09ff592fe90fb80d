import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { Logger } from '@nestjs/common';
import type { WindowCharge } from '@meritorder/contracts';
import { keepUntold, windowTotals } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { DriftKeeper } from './drift-keeper.js';
import { useWorld } from './fixture.for-tests.js';

const world = useWorld();
const month = new Date().toISOString().slice(0, 7);
const WINDOW: WindowCharge = { budget: 'org', window: month, basis: 'cash' };
let redis: Redis;
let keeper: DriftKeeper;

beforeAll(() => {
  redis = new Redis(world.redisUrl);
  Logger.overrideLogger(false);
});
afterAll(() => redis.disconnect());
beforeEach(async () => {
  await world.set('org', { selector: { org: 'acme' }, window: 'month', limitUsd: '0.000001' });
  await hold('a');
  await world.counters.open('a');
  await world.counters.settle('a', { cashNanos: 100n, fullNanos: 100n });
  await world.charge('a', 100n, [WINDOW]);
  keeper = new DriftKeeper(world.policy);
});

async function hold(attemptId: string): Promise<void> {
  const cost = { fixedNanos: 100n, perOutputTokenNanos: 0n };
  const windows = [{ ...WINDOW, limitNanos: 1_000n, limitVersion: 1_000 }];
  const reply = await world.counters.reserve({
    attemptId,
    leaseMs: 60_000,
    candidates: [{ backend: 'b', maxTokens: 1, minTokens: 1, cash: cost, full: cost, windows }],
  });
  expect(reply.type).toBe('granted');
}
const counted = async () => (await world.counters.inspectWindows())[0];
const key = () => `{mo}:e${world.counters.openEpochId()}:w:org:${month}`;
const found = () => world.db.query(`select kind, budget, settled_nanos::int as settled, remedy from drift order by id`);

it('nothing is corrected where counters, totals and ledger agree', async () => {
  for (let i = 0; i < 3; i++) await keeper.look();
  expect(await found()).toEqual([]);
  expect(await counted()).toMatchObject({ settledNanos: 100n, reservedNanos: 0n });
});

it('counters that were changed behind our back are corrected by the difference', async () => {
  await redis.hincrby(key(), 'settled', -70);
  await keeper.look();
  expect(await counted()).toMatchObject({ settledNanos: 30n });
  await keeper.look();
  expect(await counted()).toMatchObject({ settledNanos: 100n });
  expect(await found()).toEqual([{ kind: 'counter', budget: 'org', settled: 70, remedy: 'adjusted' }]);
});

it('a total that is not what the ledger says is corrected, and the counters after it (pitfall 29)', async () => {
  await world.db.query(`update window_spend set settled_nanos = 0`);
  const errors = vi.spyOn(Logger.prototype, 'error');
  await keeper.look();
  expect(await windowTotals(world.db)).toMatchObject([{ settledNanos: 100n }]);
  expect(errors).toHaveBeenCalledWith(expect.stringContaining(`org ${month} was not what the ledger says`));
  expect(await found()).toEqual([{ kind: 'window', budget: 'org', settled: 100, remedy: 'corrected' }]);
  for (let i = 0; i < 2; i++) await keeper.look();
  expect(await counted()).toMatchObject({ settledNanos: 100n });
});

it('what was booked and not yet told is no drift, so it is never counted twice', async () => {
  await hold('b');
  await world.counters.open('b');
  await world.charge('b', 50n, [WINDOW]);
  await keepUntold(world.db, [
    { attemptId: 'b', charge: { state: 'confirmed', cashNanos: 50n, fullNanos: 50n }, changed: true },
  ]);
  for (let i = 0; i < 3; i++) await keeper.look();
  expect(await counted()).toMatchObject({ settledNanos: 100n, reservedNanos: 100n });
  await world.db.query(`truncate untold_settlement`);
  await world.counters.settle('b', { cashNanos: 50n, fullNanos: 50n });
  for (let i = 0; i < 3; i++) await keeper.look();
  expect(await counted()).toMatchObject({ settledNanos: 150n, reservedNanos: 0n });
  expect(await found()).toEqual([]);
});

it('a window that counters have lost closes admission for a rebuild', async () => {
  const name = key();
  const epoch = world.counters.openEpochId()!;
  await redis.del(name);
  await redis.srem(`{mo}:e${epoch}:windows`, name);
  await redis.hincrby('{mo}:epoch', 'windows', -1);
  for (let i = 0; i < 2; i++) await keeper.look();
  await waitFor(() => world.counters.openEpochId() === undefined, 'admission to be closed');
  expect(await found()).toMatchObject([{ budget: 'org', remedy: 'rebuilt' }]);
});

it('money that is held for nobody is found, and given back by a rebuild (pitfall 31)', async () => {
  await redis.hincrby(key(), 'reserved', 400);
  for (let i = 0; i < 2; i++) await keeper.look();
  await waitFor(() => world.counters.openEpochId() === undefined, 'admission to be closed');
});

it('an opened attempt that nobody ends is an alarm', async () => {
  await world.open('stuck', [WINDOW], new Date(Date.now() - 120_000));
  const errors = vi.spyOn(Logger.prototype, 'error');
  await keeper.look();
  expect(errors).toHaveBeenCalledWith(expect.stringContaining('stuck'));
});

// Last: nobody consumes what it publishes.
it('usage that metering has not booked holds a correction back', async () => {
  await redis.hincrby(key(), 'settled', -70);
  await world.bus.jetstream.publish('usage.attempt-closed.v1.acme', '{}');
  for (let i = 0; i < 3; i++) await keeper.look();
  expect(await counted()).toMatchObject({ settledNanos: 30n });
});
