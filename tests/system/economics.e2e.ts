import { RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { replay } from '@meritorder/routing-core';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const perMillionOutput = (usd: string, marginal?: string) => [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: usd },
    ...(marginal === undefined
      ? {}
      : {
          full: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '3' },
          marginal: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: marginal },
        }),
  },
];
const prior = (quality: number) => ({ prior: quality, outcomes: 1_000 });

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
const decisions: RoutingDecisionMadeV1[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'small',
        behaviour: { prices: { input: '0', output: '1' } },
        config: { prices: perMillionOutput('1'), quality: prior(0.6) },
      },
      {
        id: 'large',
        behaviour: { prices: { input: '0', output: '10' } },
        config: { prices: perMillionOutput('10'), quality: prior(0.9), region: 'eu' },
      },
      {
        id: 'own',
        kind: 'local',
        behaviour: { firstTokenMs: 150, outputTokensPerSecond: 150 },
        config: {
          prices: perMillionOutput('0', '0.2'),
          quality: prior(0.85),
          maxConcurrency: 24,
          maxOutputTokens: 1_000,
        },
      },
    ],
    config: {
      orgs: [{ id: 'acme', defaultTier: 'plain' }, { id: 'globex' }],
      routes: [
        { id: 'auto', backends: ['small', 'large'] },
        {
          id: 'hybrid',
          backends: ['large', 'own'],
          objective: 'value',
          usdPerQualityPoint: '0.02',
          exploration: false,
        },
        { id: 'crowd', backends: ['small', 'own'] },
        { id: 'timely', backends: ['small', 'own'], targetLatencyMs: 100 },
        { id: 'european', backends: ['small', 'large'], regions: ['eu'] },
      ],
      tiers: [
        { id: 'plain' },
        { id: 'free', backends: ['small'], maxValueUsd: '0.001' },
        {
          id: 'premium',
          objective: 'value',
          usdPerQualityPoint: '0.05',
          minQuality: 0.8,
          exploration: false,
          charge: { markup: '1.5' },
        },
        { id: 'capped', orgs: ['acme'], maxCostUsd: '0.0005' },
        { id: 'thrifty', minMargin: 0.9, charge: { markup: '1', usdPerRequest: '0.0001' } },
      ],
      budgets: [
        {
          id: 'acme-month',
          selector: { org: 'acme' },
          window: 'month',
          limitUsd: '100',
          thresholds: [],
          pacing: 'off',
        },
        {
          id: 'tryout',
          selector: { org: 'acme', tier: 'plain', feature: 'tryout' },
          window: 'total',
          limitUsd: '0.000001',
          strictness: 'strict',
        },
      ],
    },
  });
  [app, operator] = [await product.app(), await product.stack.connectOperator()];
  app.subscribe('routing.decision-made.v1.acme', {
    callback: (_error, message) => void decisions.push(RoutingDecisionMadeV1.parse(message.json())),
  });
  await app.flush();
});
afterAll(() => product?.stop());

interface Receipt {
  backend: string;
  reason: string;
  request_id: string;
}
async function receiptOf(more: Record<string, unknown>): Promise<Receipt> {
  const reply = await ask(app, chat('What is a merit order?', more));
  expect(errorCode(reply)).toBe('');
  return reply.json<{ meritorder: Receipt }>().meritorder;
}
const backendOf = async (more: Record<string, unknown>): Promise<string> => (await receiptOf(more)).backend;
const refusalOf = async (more: Record<string, unknown>): Promise<string> => errorCode(await ask(app, chat('x', more)));

describe('tiers and wishes', () => {
  it('a premium customer reaches the better model at its price, a free one does not, and neither by wishing', async () => {
    const tier = (name: string) => ({ metadata: { tier: name } });
    expect(await backendOf(tier('premium'))).toBe('large');
    expect(await backendOf(tier('free'))).toBe('small');
    expect(await backendOf({ ...tier('free'), meritorder: { value_usd: '5' } })).toBe('small');
    expect(await refusalOf({ ...tier('free'), meritorder: { min_quality: 0.8 } })).toBe('below_floor');
    expect(await refusalOf({ ...tier('free'), model: 'large' })).toBe('no_able_backend');
  });

  it('who names no tier gets the default one, and one that does not exist is refused with those that do', async () => {
    expect(await backendOf({})).toBe('small');
    // Its budgets, too.
    expect(await refusalOf({ metadata: { feature: 'tryout' } })).toBe('budget_exhausted');
    expect(await refusalOf({ metadata: { feature: 'tryout', tier: 'premium' } })).toBe('');
    const reply = await ask(app, chat('x', { metadata: { tier: 'gold' } }));
    expect(errorCode(reply)).toBe('tier_unknown');
    expect(reply.json<{ error: { message: string } }>().error.message).toContain(
      'plain, free, premium, capped, thrifty',
    );
  });

  it('wishes are heard: least quality, worth, and cost within the smaller cap', async () => {
    expect(await backendOf({ meritorder: { min_quality: 0.8 } })).toBe('large');
    expect(await backendOf({ meritorder: { value_usd: '0.1' } })).toBe('large');
    expect(await backendOf({ meritorder: { value_usd: '0.0001' } })).toBe('small');
    const capped = { metadata: { tier: 'capped' }, meritorder: { min_quality: 0.8, max_cost_usd: '1' } };
    expect(await refusalOf(capped)).toMatch(/cost_cap|below_floor/);
  });

  it('an estimate says who may not serve the tier or the region, as a request would find', async () => {
    const states = async (model: string, tier?: string): Promise<Record<string, string>> => {
      const body = { ...JSON.parse(chat('Say it.', { model })), ...(tier ? { metadata: { tier } } : {}) };
      const reply = await app.request('inference.estimate.v1.acme', JSON.stringify({ body }), { timeout: 5_000 });
      const { rows } = reply.json<{ rows: { backend: string; state: string; reason?: string }[] }>();
      return Object.fromEntries(rows.map((r) => [r.backend, r.state === 'able' ? 'able' : r.reason!]));
    };
    expect(await states('auto')).toEqual({ small: 'able', large: 'able' });
    expect(await states('auto', 'free')).toEqual({ small: 'able', large: 'is not for the tier free' });
    expect(await states('european')).toEqual({ small: 'is in no region that is named, not in eu', large: 'able' });
  });

  it('a route with regions is served there alone, however dear, and by nobody where there is none', async () => {
    expect(await backendOf({ model: 'european' })).toBe('large');
    expect(await refusalOf({ model: 'european', metadata: { tier: 'free' } })).toBe('no_able_backend');
  });

  it('a candidate below the margin floor of its tier is not taken', async () => {
    expect(await backendOf({ metadata: { tier: 'thrifty' }, max_tokens: 5 })).toBe('small');
    expect(await refusalOf({ metadata: { tier: 'thrifty' }, model: 'large' })).toBe('below_floor');
  });

  it('another backend answers for a named one only where the caller allows it, and only one as good', async () => {
    expect(await backendOf({ model: 'large' })).toBe('large');
    expect(await backendOf({ model: 'small', meritorder: { allow_substitution: true } })).toBe('own');
    expect(await backendOf({ model: 'large', meritorder: { allow_substitution: true } })).toBe('large');
  });
});

it('a shadow price that an operator pins reaches a router within a second, moves traffic to own hardware, is named, and lets it come back', async () => {
  const put = async (shadowPrice: number): Promise<void> => {
    const pin = { verb: 'pin', budget: 'acme-month', by: 'a test', shadowPrice };
    const reply = await operator.request('budget-policy.pacing.v1', JSON.stringify(pin), { timeout: 5_000 });
    expect(reply.json()).not.toHaveProperty('error');
  };
  const hybrid = { model: 'hybrid', meritorder: { value_usd: '0.1' } };
  // .9 against .85 of $0.10 is worth $0.005; 100 tokens of it cost $0.001.
  expect(await backendOf(hybrid)).toBe('large');
  await put(9);
  await waitFor(async () => (await backendOf(hybrid)) === 'own', {
    message: 'the new price to be felt',
    timeoutMs: 1_000,
  });
  expect((await receiptOf(hybrid)).reason).toMatch(
    /^own: \.85 expected quality at \$[\d.]+; large would add \.05, worth \$0\.005\d* here, for \$[\d.]+ more, which counts \$[\d.]+ at acme-month's shadow price of 9/,
  );
  await put(0);
  await waitFor(async () => (await backendOf(hybrid)) === 'large', {
    message: 'the new price to be felt',
    timeoutMs: 1_000,
  });
});

it('own hardware wins when idle and loses when it fills, with no rule that says so, and wins again', async () => {
  const before = decisions.length;
  expect(await backendOf({ model: 'crowd' })).toBe('own');
  const crowd = await Promise.all(Array.from({ length: 60 }, () => backendOf({ model: 'crowd' })));
  await waitFor(() => decisions.length - before >= 61, { message: 'the decisions of the crowd', timeoutMs: 5_000 });
  expect(crowd).toContain('own');
  // It was able and had room: the price of making others wait alone put it second.
  const priced = decisions.slice(before).filter((d) => {
    const own = d.candidates.find((c) => c.backend === 'own');
    return d.choice === 'small' && own?.excluded === null && (own.numbers?.usdPerGpuSecond ?? 0) > 0;
  });
  expect(priced.length).toBeGreaterThan(0);
  expect(priced[0]!.reason).toMatch(
    /^small: not the cheapest of 2 able backends .*; own at .* counts .* more for the others it would keep waiting/,
  );
  await waitFor(async () => (await backendOf({ model: 'crowd' })) === 'own', {
    message: 'traffic to come home',
    timeoutMs: 10_000,
  });
});

it('a job waits for idle own hardware as long as its deadline allows, and one that cannot wait is served elsewhere', async () => {
  const results = new Map<string, string>();
  app.subscribe('inference.result.v1.acme.*', {
    callback: (_error, message) => {
      const { requestId, body } = message.json<{ requestId: string; body: { meritorder: Receipt } }>();
      results.set(requestId, body.meritorder.backend);
    },
  });
  const job = async (deadlineMs: number, model = 'crowd'): Promise<string> => {
    const body = chat('Say it.', { model, meritorder: { deadline_ms: deadlineMs } });
    const accepted = await app.request('inference.job.v1.acme', body, { timeout: 5_000 });
    return accepted.json<{ request_id: string }>().request_id;
  };
  const busy = Array.from({ length: 24 }, () =>
    ask(app, chat('Write 900 words.', { model: 'own', max_tokens: 1_000 })),
  );
  // Its worker has said that it is full.
  await waitFor(async () => (await backendOf({ model: 'crowd' })) === 'small', {
    message: 'own hardware to be full',
    timeoutMs: 5_000,
  });
  const [patient, hurried] = [await job(60_000), await job(10_000)];
  const resultOf = (id: string) => waitFor(() => results.get(id), { message: 'the job', timeoutMs: 30_000 });
  expect(await resultOf(hurried)).toBe('small');
  expect(await resultOf(patient)).toBe('own');
  await Promise.all(busy);
  // Own hardware that is idle and late by itself is as late later: there is nothing to wait for.
  expect(['own', 'small']).toContain(await resultOf(await job(600_000, 'timely')));
});

it('every decision of this file is decided the same again from its record (invariant 13)', async () => {
  await waitFor(() => decisions.length > 50, { message: 'the decisions', timeoutMs: 5_000 });
  for (const record of decisions) {
    const again = replay(JSON.parse(JSON.stringify(record)) as RoutingDecisionMadeV1);
    expect(again).toMatchObject({ replayable: true, same: true, differences: [] });
    expect(record.reason).not.toBe('');
  }
});
