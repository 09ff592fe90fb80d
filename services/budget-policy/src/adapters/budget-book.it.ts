import { expect, it } from 'vitest';
import { BudgetConfig } from '@meritorder/contracts';
import { instanceId } from '@meritorder/budget-core';
import { openBucket } from '@meritorder/messaging';
import { waitFor } from '@meritorder/testing';
import { useWorld } from './fixture.for-tests.js';

const world = useWorld();
const month = new Date().toISOString().slice(0, 7);
const MONTHLY = { selector: { org: 'acme' }, window: 'month', limitUsd: '0.000001' } as const;

async function inBucket(id: string): Promise<{ limitNanos: string; limitVersion: number } | undefined> {
  const entry = await (await openBucket(world.bus, 'BUDGETS')).get(id);
  return entry?.operation === 'PUT' ? entry.json() : undefined;
}

async function use(budget: string, limitNanos = 1_000n): Promise<void> {
  const window = { budget, window: month, basis: 'cash' as const, limitNanos, limitVersion: 1_000 };
  const cost = { fixedNanos: 10n, perOutputTokenNanos: 0n };
  const granted = await world.counters.reserve({
    attemptId: `use-${budget}`,
    leaseMs: 60_000,
    candidates: [{ backend: 'b', maxTokens: 1, minTokens: 1, cash: cost, full: cost, windows: [window] }],
  });
  expect(granted.type).toBe('granted');
}

it('a changed limit is in the bucket and in counters that are in use before the change is answered', async () => {
  await world.set('org', MONTHLY);
  await use('org');
  await world.set('org', { limitUsd: '0.000000005' });
  expect(await inBucket('org')).toMatchObject({ limitNanos: '5', limitVersion: 2 });
  expect(await world.counters.inspectWindows()).toMatchObject([{ budget: 'org', limitNanos: 5n, reservedNanos: 10n }]);
});

it('a limit below what is spent is said to be so, and counted apart from an overrun', async () => {
  await world.set('org', MONTHLY);
  await world.charge('a', 800n, [{ budget: 'org', window: month, basis: 'cash' }]);
  const answer = await world.policy.book.carryOut({
    verb: 'set',
    id: 'org',
    change: { limitUsd: '0.0000005' },
    by: 'ada',
  });
  expect(answer.windows).toMatchObject([
    { exhausted: true, above: { loweredNanos: '300', correctedNanos: '0', overrunNanos: '0' } },
  ]);
  expect(answer.notes).toEqual([expect.stringContaining('nothing more is admitted')]);
});

it('an instance is shown with its own limit, and an exception reaches it at once', async () => {
  await world.set('each', { ...MONTHLY, per: ['customer'] });
  const values = { customer: 'big' };
  const id = instanceId('each', values);
  await world.charge('a', 600n, [{ budget: id, window: month, basis: 'cash', template: 'each', values }]);
  await use(id);
  await world.policy.book.carryOut({ verb: 'except', id: 'each', values, limitUsd: '0.000002', by: 'ada' });
  expect(await world.counters.inspectWindows()).toMatchObject([{ budget: id, limitNanos: 2_000n }]);
  const shown = await world.policy.book.carryOut({ verb: 'show', id });
  expect(shown.windows).toMatchObject([
    { budget: id, values, limitNanos: '2000', settledNanos: '600', heldNanos: '10' },
  ]);
  expect((await world.policy.book.carryOut({ verb: 'show', id: 'each' })).windows).toHaveLength(1);
});

it('a restart undoes no change of an operator, and an edited file does', async () => {
  const config = (limitUsd: string) => ({
    budgets: [BudgetConfig.parse({ id: 'org', selector: { org: 'acme' }, window: 'month', limitUsd })],
  });
  await (await world.another(config('1'))).book.start();
  expect(await inBucket('org')).toMatchObject({ limitNanos: '1000000000', limitVersion: 1 });
  await world.set('org', { limitUsd: '2' });
  await (await world.another(config('1'))).book.start();
  expect(await inBucket('org')).toMatchObject({ limitNanos: '2000000000', limitVersion: 2 });
  expect((await world.policy.book.carryOut({ verb: 'list' })).budgets).toMatchObject([
    { origin: 'operator', configurationDiffers: true, changedBy: 'ada' },
  ]);
  await (await world.another(config('3'))).book.start();
  expect(await inBucket('org')).toMatchObject({ limitNanos: '3000000000', limitVersion: 3 });
});

it('a bucket that somebody emptied, and one that shows what is in force no more, are brought in line', async () => {
  await world.set('org', MONTHLY);
  const bucket = await openBucket(world.bus, 'BUDGETS');
  await bucket.delete('org');
  await bucket.put('gone', '{}');
  await waitFor(() => world.bucket.ids().join() === 'gone', 'the change to be seen');
  await world.policy.book.publish();
  expect(await inBucket('org')).toMatchObject({ limitNanos: '1000' });
  expect(await inBucket('gone')).toBeUndefined();
  await world.policy.book.carryOut({ verb: 'remove', id: 'org', by: 'ada' });
  expect(await inBucket('org')).toBeUndefined();
});

it('an instance that is behind never replaces a newer limit by an older one', async () => {
  await world.set('org', MONTHLY);
  const behind = await world.another();
  const old = (await world.policy.book.carryOut({ verb: 'list' })).budgets[0]!.definition;
  await world.set('org', { limitUsd: '0.000000005' });
  expect(await world.bucket.put(old)).toBe(false);
  await behind.book.publish();
  expect(await inBucket('org')).toMatchObject({ limitNanos: '5', limitVersion: 2 });
});

it('what an operator gets wrong is refused in one line and changes nothing', async () => {
  await world.set('org', MONTHLY);
  await expect(world.policy.book.carryOut({ verb: 'show', id: 'none' })).rejects.toThrow('there is no budget "none"');
  await expect(world.set('org', { limitUsd: '99999999' })).rejects.toThrow(/exact up to/);
  expect(await inBucket('org')).toMatchObject({ limitVersion: 1 });
});

it('budgets beyond one page are all shown to routers and listed page by page', async () => {
  const budgets = Array.from({ length: 1_100 }, (_, i) =>
    BudgetConfig.parse({
      id: `b-${String(i).padStart(4, '0')}`,
      selector: { org: 'acme', user: `u${i}` },
      window: 'day',
      limitUsd: '1',
    }),
  );
  const policy = await world.another({ budgets });
  await policy.book.start();
  const first = await policy.book.carryOut({ verb: 'list' });
  expect([first.budgets.length, first.more]).toEqual([500, true]);
  const last = await policy.book.carryOut({ verb: 'list', after: 'b-0999' });
  expect([last.budgets.length, last.more]).toEqual([100, false]);
  await waitFor(() => world.bucket.ids().length === 1_100, 'all to be shown');
});
