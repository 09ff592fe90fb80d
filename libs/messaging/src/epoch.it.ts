import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MeritorderConfig } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import { announceEpoch, followEpoch } from './index.js';
import { ServerWithUsers } from './server-with-users.for-tests.js';

const world = new ServerWithUsers({ orgs: [], backends: [] } as unknown as MeritorderConfig);

beforeAll(() => world.start());
afterAll(() => world.stop());

it('a service knows the newest epoch when it starts, and hears of every later one', async () => {
  const stop = new AbortController();
  const keeper = await world.as('budget-policy');
  const early: number[] = [];
  await followEpoch(await world.as('metering'), (id) => early.push(id), stop.signal);
  expect(early).toEqual([]);
  await announceEpoch(keeper, 1);
  await announceEpoch(keeper, 2);
  await waitFor(() => early.at(-1) === 2, 'the second epoch');

  const late: number[] = [];
  await followEpoch(await world.as('router'), (id) => late.push(id), stop.signal);
  expect(late).toEqual([2]);
  await announceEpoch(keeper, 3);
  await waitFor(() => early.at(-1) === 3 && late.at(-1) === 3, 'the third epoch');
  stop.abort();
});
