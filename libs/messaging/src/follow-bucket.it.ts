import { afterAll, beforeAll, expect, it } from 'vitest';
import { BUCKETS, type MeritorderConfig } from '@meritorder/contracts';
import { followBucket, openBucket, readBucket, readValue, type Bus } from './index.js';
import { ServerWithUsers } from './server-with-users.for-tests.js';

const world = new ServerWithUsers({ orgs: [], backends: [] } as unknown as MeritorderConfig);
const BUDGETS = BUCKETS.budgets.name;
let keeper: Bus;
let router: Bus;

beforeAll(async () => {
  await world.start();
  keeper = await world.as('budget-policy');
  router = await world.as('router');
});
afterAll(() => world.stop());

it('an empty bucket is followed at once', async () => {
  expect(await readBucket(router, BUDGETS)).toEqual(new Map());
});

it('knows all that was there, although values are replaced while the watch is being made', async () => {
  const bucket = await openBucket(keeper, BUDGETS);
  for (let round = 0; round < 300; round++) {
    // What is put before the call must be seen when it resolves; what is put meanwhile must not keep it from resolving.
    const marker = String(round);
    await bucket.put('before', marker);
    const seen = new Map<string, string>();
    const opening = followBucket(router, BUDGETS, (entry) => seen.set(entry.key, entry.string()), 5_000);
    await new Promise((resolve) => setTimeout(resolve, round % 4));
    for (let put = 0; put < 4; put++) await bucket.put(`budget-${(round + put) % 3}`, marker);
    const following = await opening;
    expect(seen.get('before')).toBe(marker);
    following.stop();
  }
});

it('what was the newest and is cleared away keeps nobody waiting', async () => {
  const bucket = await openBucket(keeper, BUDGETS);
  await bucket.put('stays', 'here');
  await bucket.put('goes', 'soon');
  await bucket.delete('goes');
  const operator = await (await world.as('operator')).manager();
  await operator.streams.purge(`KV_${BUDGETS}`, { filter: `$KV.${BUDGETS}.goes` });
  const values = await readBucket(router, BUDGETS);
  expect(values.get('stays')?.string()).toBe('here');
  expect(values.has('goes')).toBe(false);
});

it('hears of later changes until it is stopped', async () => {
  const bucket = await openBucket(keeper, BUDGETS);
  const heard: string[] = [];
  const following = await followBucket(router, BUDGETS, (entry) => heard.push(`${entry.operation} ${entry.key}`));
  await bucket.put('later', '1');
  await bucket.delete('later');
  await expect.poll(() => heard.slice(-2)).toEqual(['PUT later', 'DEL later']);
  following.stop();
});

it('one value is read as it was put last; what was deleted or never there is none', async () => {
  const bucket = await openBucket(keeper, BUDGETS);
  const read = async (key: string) => {
    const value = await readValue(router, BUDGETS, key);
    return value && new TextDecoder().decode(value);
  };
  expect(await read('one')).toBeUndefined();
  await bucket.put('one', '1');
  await bucket.put('one', '2');
  expect(await read('one')).toBe('2');
  await bucket.delete('one');
  expect(await read('one')).toBeUndefined();
});

it('a bucket that may not be read says so', async () => {
  await expect(readBucket(await world.as('provider-worker'), BUDGETS)).rejects.toThrow();
});
