import { expect, it } from 'vitest';
import { openBucket } from '@meritorder/messaging';
import { CarryKeeper } from './carry-keeper.js';
import { useWorld } from './fixture.for-tests.js';

const world = useWorld();
const DAY_MS = 24 * 3_600_000;
const today = new Date();
const tomorrowMs = Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), today.getUTCDate()) + DAY_MS;
const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);
const [day, next] = [dayOf(today.getTime()), dayOf(tomorrowMs)];
const WINDOW = { budget: 'daily', window: day, basis: 'cash' as const };

async function inBucket(): Promise<unknown> {
  return (await (await openBucket(world.bus, 'BUDGETS')).get('daily'))?.json();
}
const make = () =>
  world.set('daily', {
    selector: { org: 'acme' },
    window: 'day',
    limitUsd: '0.000001',
    carryOver: { maxShare: 0.5 },
  });
const rows = () =>
  world.db.query(
    `select window_id, revision, from_window, nanos::int as nanos, spent_nanos::int as spent from carry_over order by window_id, revision`,
  );

it('what a window left is carried once, by whoever is first, into the next window alone', async () => {
  await make();
  await world.charge('a', 700n, [WINDOW]);
  const keepers = [new CarryKeeper(world.policy), new CarryKeeper(await world.another())];
  for (let i = 0; i < 3; i++) for (const keeper of keepers) await keeper.carry(tomorrowMs + 11_000);
  expect(await rows()).toEqual([{ window_id: next, revision: 1, from_window: day, nanos: 300, spent: 700 }]);
  expect(await inBucket()).toMatchObject({
    limitNanos: '1000',
    limitVersion: 1,
    carry: { window: next, nanos: '300', revision: 1 },
  });
});

it('it waits for the clocks of routers, and for what is still in flight', async () => {
  await make();
  const keeper = new CarryKeeper(world.policy);
  await keeper.carry(tomorrowMs + 5_000);
  await world.open('slow', [WINDOW], today);
  await keeper.carry(tomorrowMs + 11_000);
  expect(await rows()).toEqual([]);
  await world.charge('slow', 900n, [WINDOW], today);
  await keeper.carry(tomorrowMs + 20_000);
  expect(await rows()).toMatchObject([{ nanos: 100 }]);
});

it('a charge that came late is followed by a revision', async () => {
  await make();
  const keeper = new CarryKeeper(world.policy);
  await keeper.carry(tomorrowMs + 11_000);
  await world.charge('late', 800n, [WINDOW], today);
  await keeper.carry(tomorrowMs + 20_000);
  expect(await rows()).toMatchObject([
    { revision: 1, nanos: 500 },
    { revision: 2, nanos: 200 },
  ]);
  expect(await inBucket()).toMatchObject({ carry: { window: next, nanos: '200', revision: 2 } });
});

it('a carry that was recorded by one who died then is put in force by the next', async () => {
  await make();
  await world.db.query(
    `insert into carry_over (budget, window_id, revision, from_window, nanos, limit_nanos, spent_nanos) values ('daily', $1, 1, $2, 500, 1000, 0)`,
    [next, day],
  );
  await new CarryKeeper(world.policy).carry(tomorrowMs + 11_000);
  expect(await inBucket()).toMatchObject({ carry: { window: next, nanos: '500', revision: 1 } });
  expect(await rows()).toHaveLength(1);
});

it('a budget that did not exist yet left nothing', async () => {
  await make();
  await new CarryKeeper(world.policy).carry(today.getTime() + 11_000);
  expect(await rows()).toEqual([]);
});
