import { BUCKETS, type ChatRequest } from '@meritorder/contracts';
import { snapshotConversion, type ConversionSnapshot } from '@meritorder/margin-core';
import { openBucket } from '@meritorder/messaging';
import { snapshotQuality, type QualitySnapshot } from '@meritorder/quality-core';
import { waitFor } from '@meritorder/testing';
import { expect, it } from 'vitest';
import { POOL } from '../application/learned-orgs.js';
import { LearningConversions } from './conversions.nats.js';
import { EventsFeed } from './events-feed.nats.js';
import { LearningEstimator } from './estimator.nats.js';
import { LearnedBucket } from './learned-bucket.nats.js';
import { config, LearningWorld } from './learning-world.for-tests.js';
import { LearningQualities } from './quality.nats.js';

const world = new LearningWorld();
const { clock, errors, onError } = world;
/** More than a router has room for. */
const OTHERS = Array.from({ length: 2_050 }, (_, i) => `other-${i}`);
const [backend] = config.backends;
const body = { model: 'auto', messages: [{ role: 'user', content: 'Summarise it.' }] } as ChatRequest;
const startQualities = (): Promise<LearningQualities> =>
  world.started((bus, feed) => new LearningQualities(config, bus, feed, clock, onError));

async function kept<T>(bucket: string, key: string): Promise<T | undefined> {
  const entry = await (await openBucket(world.metering, bucket)).get(key);
  return entry?.json<{ learned: T }>().learned;
}
/** Every value that is put under a key from now on. */
async function putsUnder<T>(bucket: string, key: string): Promise<T[]> {
  const puts: T[] = [];
  world.metering.nats.subscribe(`$KV.${bucket}.${key}`, {
    callback: (_error, message) => void puts.push(message.json<{ learned: T }>().learned),
  });
  await world.metering.nats.flush();
  return puts;
}
const areAscending = (numbers: number[]): boolean => numbers.every((n, i) => i === 0 || n >= numbers[i - 1]!);

it('the quality that an org taught is what it was when it returns after more orgs than there is room for', async () => {
  const puts = await putsUnder<QualitySnapshot>('LEARNING', 'quality.first');
  const router = await startQualities();
  const outcomes = (): number | undefined => router.stateOf('first')?.models.get('openai/some-model')?.all.weight;
  const read = () => router.read({ body, attribution: { org: 'first' }, inputTokens: 10 }).of(backend!);
  world.tellOutcome('first', 0.3, 30);
  await waitFor(() => outcomes() === 30, 'the first org to be known');
  const before = JSON.parse(JSON.stringify(snapshotQuality(router.stateOf('first')!))) as QualitySnapshot;
  const { quality } = read();
  for (const org of OTHERS) world.tellOutcome(org);
  await waitFor(() => router.stateOf(OTHERS.at(-1)!) && !router.stateOf('first'), 'the first org to give way');
  await router.kept.settled();
  expect(await kept('LEARNING', 'quality.first')).toEqual(before);

  // The decision that brings it back does not wait for it.
  expect(read()).toMatchObject({ quality: 0.75, outcomes: 0 });
  await waitFor(() => outcomes() === 30, 'the first org to be back');
  expect(JSON.parse(JSON.stringify(snapshotQuality(router.stateOf('first')!)))).toEqual(before);
  expect(read().quality).toBeCloseTo(quality, 6);

  for (const org of OTHERS) world.tellOutcome(org);
  await waitFor(() => !router.stateOf('first'), 'the first org to give way again');
  // Here what brings it back is a lesson.
  world.tellOutcome('first', 0.3);
  await waitFor(() => outcomes() === 31, 'the first org to go on from what it knew');
  await router.close();
  await waitFor(() => puts.at(-1)?.models[0]![1].all.weight === 31, 'what it knows to be kept');
  const weights = puts.map(({ models }) => models[0]![1].all.weight);
  expect(areAscending(weights)).toBe(true);
  expect(errors).toEqual([]);

  const next = await startQualities();
  const known = OTHERS.filter((org) => next.stateOf(org)).length;
  expect(known).toBeGreaterThan(1_900);
  expect(known).toBeLessThan(2_000);
  // Saved last.
  expect(next.stateOf('first')).toBeDefined();
  const gone = OTHERS.find((org) => !next.stateOf(org))!;
  next.read({ body, attribution: { org: gone }, inputTokens: 10 });
  await waitFor(() => next.stateOf(gone), 'one that there was no room for at the start');
  await next.close();
  expect(errors).toEqual([]);
});

it('conversions come back as they were', async () => {
  const puts = await putsUnder<ConversionSnapshot>('LEARNING', 'conversion.first');
  const router = await world.started((bus, feed) => new LearningConversions(bus, feed, clock, onError));
  const trials = (): number | undefined =>
    router
      .stateOf('first')
      ?.segments.get('')
      ?.all.pending.reduce((sum, [, n]) => sum + n, 0);
  world.tellUsage('first', 40, 20);
  await waitFor(() => trials() === 20, 'the first org to be known');
  const before = snapshotConversion(router.stateOf('first')!);
  for (const org of OTHERS) world.tellUsage(org);
  await waitFor(() => router.stateOf(OTHERS.at(-1)!) && !router.stateOf('first'), 'the first org to give way');
  router.read({ org: 'first' });
  await waitFor(() => trials() === 20, 'the first org to be back');
  expect(snapshotConversion(router.stateOf('first')!)).toEqual(before);
  world.tellUsage('first');
  await waitFor(() => trials() === 21, 'the first org to go on');
  await router.close();
  const counts = (): number[] =>
    puts.map(({ segments }) =>
      segments.find(([name]) => name === '')![1].all.pending.reduce((sum, [, n]) => sum + n, 0),
    );
  await waitFor(() => counts().at(-1) === 21, 'what it knows to be kept');
  expect(areAscending(counts())).toBe(true);
  expect(errors).toEqual([]);
});

it('the lengths of answers come back as they were, of every task', async () => {
  // Of these nothing was said before.
  const others = OTHERS.map((org) => `${org}-of-lengths`);
  interface Lengths {
    lengths: [key: string, { seen: number }][];
  }
  const puts = await putsUnder<Lengths>('ESTIMATES', 'org.long');
  const router = await world.started((bus, feed) => new LearningEstimator(config, bus, feed, clock, onError));
  const forecast = (org: string, task = 'story') =>
    router.estimate({ body, route: 'auto', attribution: { org, task } }).of(backend!).output;
  for (let i = 0; i < 20; i++) world.tellUsage('long', 100 * (i + 1), 10, `task-${i}`);
  await waitFor(() => forecast('long', 'task-19').seen === 10, 'the first org to be known');
  const before = forecast('long', 'task-3');
  for (const org of others) world.tellUsage(org);
  await waitFor(() => forecast(others.at(-1)!).seen === 1, 'the last org to be known');
  await router.kept.settled();
  expect((await kept<Lengths>('ESTIMATES', 'org.long'))?.lengths.length).toBe(1 + 2 * 20);

  expect(forecast('long', 'task-3')).toMatchObject({ basis: 'prior', seen: 0 });
  await waitFor(() => forecast('long', 'task-3').seen === 10, 'the first org to be back');
  // Snapshots are rounded to seven digits, counts to four.
  const after = forecast('long', 'task-3');
  expect([after.p95, after.p99]).toEqual([before.p95, before.p99]);
  expect(after.expected).toBeCloseTo(before.expected, 1);
  expect(after.coverage?.judged).toBeCloseTo(before.coverage!.judged, 4);
  world.tellUsage('long', 400, 1, 'task-3');
  await waitFor(() => forecast('long', 'task-3').seen === 11, 'the first org to go on');
  await router.close();
  const answers = (): number[] => puts.map(({ lengths }) => lengths.reduce((sum, [, { seen }]) => sum + seen, 0));
  await waitFor(() => answers().at(-1) === 3 * 200 + 3, 'what it knows to be kept');
  expect(areAscending(answers())).toBe(true);
  expect(puts.every(({ lengths }) => lengths.length === 1 + 2 * 20)).toBe(true);
  expect(errors).toEqual([]);
});

it('what orgs that share have taught is kept, and known to a router that starts', async () => {
  const router = await startQualities();
  world.tellOutcome('sharing', 0.2, 40);
  await waitFor(() => router.stateOf(POOL)?.models.get('openai/some-model')?.all.weight === 40, 'the pool to learn');
  const pool = JSON.parse(JSON.stringify(snapshotQuality(router.stateOf(POOL)!))) as QualitySnapshot;
  await router.close();
  expect(await kept('LEARNING', 'quality._pool')).toEqual(pool);

  const next = await startQualities();
  expect(JSON.parse(JSON.stringify(snapshotQuality(next.stateOf(POOL)!)))).toEqual(pool);
  const { quality } = next.read({ body, attribution: { org: 'newcomer' }, inputTokens: 10 }).of(backend!);
  expect(quality).toBeLessThan(0.6);
  await next.close();
  expect(errors).toEqual([]);
});

it('a key that is refused, or a state too large, is named and stops no other; a store that is away ends the round', async () => {
  const states = new Map<string, unknown>([
    ['a', 1],
    ['ends-in-a-dot.', 2],
    ['large', 'x'.repeat(9 * 1024 * 1024)],
    ['z', 3],
  ]);
  const bus = await world.busOf('router');
  const refused: string[] = [];
  const learned = new LearnedBucket(
    bus,
    await EventsFeed.open(bus, onError),
    { bucket: BUCKETS.learning.name, prefix: 'other.' },
    {
      snapshotOf: (org) => states.get(org),
      restore: () => true,
      forget: (org) => void states.delete(org),
    },
    (message) => void refused.push(message),
  );
  // As none is in the bucket, nor in memory.
  for (const org of states.keys()) learned.restore(org, 'null');
  for (const org of states.keys()) learned.teach(org, () => true);
  await learned.save();
  expect(await kept('LEARNING', 'other.a')).toBe(1);
  expect(await kept('LEARNING', 'other.z')).toBe(3);
  expect(refused).toEqual([
    expect.stringMatching(/could not be kept: other\.ends-in-a-dot\.: invalid key.*; other\.large: .*max_payload/),
  ]);
  learned.teach('a', () => true);
  await bus.close();
  await learned.save();
  expect(refused[1]).toMatch(/; closed connection$/);
  expect(refused[1]).not.toMatch(/large/);
});
