import {
  BUCKETS,
  EXAMPLES,
  MeritorderConfig,
  subjects,
  type ChatRequest,
  type MeteringUsageRatedV1,
  type OutcomeRecordedV1,
} from '@meritorder/contracts';
import { snapshotConversion, type ConversionSnapshot } from '@meritorder/margin-core';
import { busOn, ensureTopology, openBucket, type Bus } from '@meritorder/messaging';
import { snapshotQuality, type QualitySnapshot } from '@meritorder/quality-core';
import { waitFor } from '@meritorder/testing';
import { useNats } from '@meritorder/testing/vitest';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { POOL } from '../application/learned-orgs.js';
import { LearningConversions } from './conversions.nats.js';
import { LearningEstimator } from './estimator.nats.js';
import { LearnedBucket } from './learned-bucket.nats.js';
import { LearningQualities } from './quality.nats.js';

const nats = useNats();
const NOW_MS = Date.parse('2026-11-25T08:00:00Z');
const clock = { nowMs: () => NOW_MS };
const AT = new Date(NOW_MS).toISOString();
/** More than a router has room for. */
const OTHERS = Array.from({ length: 2_050 }, (_, i) => `other-${i}`);
const config = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'first' }, { id: 'sharing', shareLearning: true }, { id: 'newcomer', shareLearning: true }],
  backends: [
    {
      id: 'gpt',
      kind: 'cloud',
      provider: 'openai',
      model: 'some-model',
      baseUrl: 'http://127.0.0.1:1',
      contextTokens: 100_000,
      maxOutputTokens: 16_000,
    },
  ],
});
const [backend] = config.backends;
const body = { model: 'auto', messages: [{ role: 'user', content: 'Summarise it.' }] } as ChatRequest;

const buses: Bus[] = [];
const errors: string[] = [];
const onError = (message: string): void => void errors.push(message);
let metering: Bus;

async function busOf(name: string): Promise<Bus> {
  const bus = busOn(await connect({ servers: nats.url }), name);
  buses.push(bus);
  return bus;
}
beforeAll(async () => {
  metering = await busOf('metering');
  await ensureTopology(metering, config);
});
afterAll(async () => {
  await Promise.all(buses.map((bus) => bus.close()));
});

interface Learning {
  start(): Promise<void>;
  close(): Promise<void>;
}
async function started<T extends Learning>(make: (bus: Bus) => T): Promise<T> {
  const bus = await busOf('router');
  const router = make(bus);
  await router.start();
  await bus.nats.flush();
  return router;
}
const startQualities = (): Promise<LearningQualities> =>
  started((bus) => new LearningQualities(config, bus, clock, onError));

let told = 0;
function tellOutcome(org: string, value = 0.9, times = 1): void {
  for (let i = 0; i < times; i++, told++) {
    const event: OutcomeRecordedV1 = {
      ...(EXAMPLES.events['outcome.recorded.v1'] as OutcomeRecordedV1),
      attribution: { org },
      outcomeId: 'judge',
      requestId: `r-${told}`,
      backend: 'gpt',
      quality: { value, weight: 1 },
      reportedAt: AT,
    };
    metering.nats.publish(subjects.outcomeRecorded(org), JSON.stringify(event));
  }
}
function tellUsage(org: string, outputTokens = 40, times = 1, task = 'story'): void {
  const rated = EXAMPLES.events['metering.usage-rated.v1'] as MeteringUsageRatedV1;
  for (let i = 0; i < times; i++, told++) {
    const event: MeteringUsageRatedV1 = {
      ...rated,
      attemptId: `a-${told}`,
      requestId: `r-${told}`,
      attribution: { org, task },
      backend: 'gpt',
      model: 'some-model',
      state: 'confirmed',
      cause: 'closed',
      revision: 1,
      outcome: 'finished',
      usageBasis: 'reported',
      usage: { ...rated.usage!, outputTokens },
      occurredAt: AT,
      expected: {
        route: 'auto',
        inputTokens: 10,
        inputUpperTokens: 12,
        inputFeatures: { text: 10, tools: 0, messages: 1, images: 0 },
        cacheReadTokens: 0,
        outputTokens: 20,
        outputP95Tokens: 60,
        outputP99Tokens: 90,
        maxTokens: 16_000,
        choices: 1,
      },
    };
    metering.nats.publish(`metering.usage-rated.v1.${org}`, JSON.stringify(event));
  }
}

async function kept<T>(bucket: string, key: string): Promise<T | undefined> {
  const entry = await (await openBucket(metering, bucket)).get(key);
  return entry?.json<T>();
}
/** Every value that is put under a key from now on. */
async function putsUnder<T>(bucket: string, key: string): Promise<T[]> {
  const puts: T[] = [];
  metering.nats.subscribe(`$KV.${bucket}.${key}`, { callback: (_error, message) => void puts.push(message.json<T>()) });
  await metering.nats.flush();
  return puts;
}
const areAscending = (numbers: number[]): boolean => numbers.every((n, i) => i === 0 || n >= numbers[i - 1]!);

it('the quality that an org taught is what it was when it returns after more orgs than there is room for', async () => {
  const puts = await putsUnder<QualitySnapshot>('LEARNING', 'quality.first');
  const router = await startQualities();
  const outcomes = (): number | undefined => router.stateOf('first')?.models.get('openai/some-model')?.all.weight;
  const read = () => router.read({ body, attribution: { org: 'first' }, inputTokens: 10 }).of(backend!);
  tellOutcome('first', 0.3, 30);
  await waitFor(() => outcomes() === 30, 'the first org to be known');
  const before = JSON.parse(JSON.stringify(snapshotQuality(router.stateOf('first')!))) as QualitySnapshot;
  const { quality } = read();
  for (const org of OTHERS) tellOutcome(org);
  await waitFor(() => router.stateOf(OTHERS.at(-1)!) && !router.stateOf('first'), 'the first org to give way');
  await router.kept.settled();
  expect(await kept('LEARNING', 'quality.first')).toEqual(before);

  // The decision that brings it back does not wait for it.
  expect(read()).toMatchObject({ quality: 0.75, outcomes: 0 });
  await waitFor(() => outcomes() === 30, 'the first org to be back');
  expect(JSON.parse(JSON.stringify(snapshotQuality(router.stateOf('first')!)))).toEqual(before);
  expect(read().quality).toBeCloseTo(quality, 6);

  for (const org of OTHERS) tellOutcome(org);
  await waitFor(() => !router.stateOf('first'), 'the first org to give way again');
  // Here what brings it back is a lesson.
  tellOutcome('first', 0.3);
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
  const router = await started((bus) => new LearningConversions(bus, clock, onError));
  const trials = (): number | undefined =>
    router
      .stateOf('first')
      ?.segments.get('')
      ?.all.pending.reduce((sum, [, n]) => sum + n, 0);
  tellUsage('first', 40, 20);
  await waitFor(() => trials() === 20, 'the first org to be known');
  const before = snapshotConversion(router.stateOf('first')!);
  for (const org of OTHERS) tellUsage(org);
  await waitFor(() => router.stateOf(OTHERS.at(-1)!) && !router.stateOf('first'), 'the first org to give way');
  router.read({ org: 'first' });
  await waitFor(() => trials() === 20, 'the first org to be back');
  expect(snapshotConversion(router.stateOf('first')!)).toEqual(before);
  tellUsage('first');
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
  interface Lengths {
    lengths: [key: string, { seen: number }][];
  }
  const puts = await putsUnder<Lengths>('ESTIMATES', 'org.first');
  const router = await started((bus) => new LearningEstimator(config, bus, clock, onError));
  const forecast = (org: string, task = 'story') =>
    router.estimate({ body, route: 'auto', attribution: { org, task } }).of(backend!).output;
  for (let i = 0; i < 20; i++) tellUsage('first', 100 * (i + 1), 10, `task-${i}`);
  await waitFor(() => forecast('first', 'task-19').seen === 10, 'the first org to be known');
  const before = forecast('first', 'task-3');
  for (const org of OTHERS) tellUsage(org);
  await waitFor(() => forecast(OTHERS.at(-1)!).seen === 1, 'the last org to be known');
  await router.kept.settled();
  expect((await kept<Lengths>('ESTIMATES', 'org.first'))?.lengths.length).toBe(1 + 2 * 20);

  expect(forecast('first', 'task-3')).toMatchObject({ basis: 'prior', seen: 0 });
  await waitFor(() => forecast('first', 'task-3').seen === 10, 'the first org to be back');
  // Snapshots are rounded to seven digits, counts to four.
  const after = forecast('first', 'task-3');
  expect([after.p95, after.p99]).toEqual([before.p95, before.p99]);
  expect(after.expected).toBeCloseTo(before.expected, 1);
  expect(after.coverage?.judged).toBeCloseTo(before.coverage!.judged, 4);
  tellUsage('first', 400, 1, 'task-3');
  await waitFor(() => forecast('first', 'task-3').seen === 11, 'the first org to go on');
  await router.close();
  const answers = (): number[] => puts.map(({ lengths }) => lengths.reduce((sum, [, { seen }]) => sum + seen, 0));
  await waitFor(() => answers().at(-1) === 3 * 200 + 3, 'what it knows to be kept');
  expect(areAscending(answers())).toBe(true);
  expect(puts.every(({ lengths }) => lengths.length === 1 + 2 * 20)).toBe(true);
  expect(errors).toEqual([]);
});

it('what orgs that share have taught is kept, and known to a router that starts', async () => {
  const router = await startQualities();
  tellOutcome('sharing', 0.2, 40);
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
  const bus = await busOf('router');
  const refused: string[] = [];
  const learned = new LearnedBucket(
    bus,
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
