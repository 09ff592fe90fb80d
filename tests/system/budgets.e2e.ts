import { readFileSync } from 'node:fs';
import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Counters } from '@meritorder/counters';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const CASH = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '1' };
const price = (cash: object, full?: object) => [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash, ...(full ? { full } : {}) },
];
const FREE = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' };

let product: Product;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'gated',
        behaviour: { prices: { input: '0', output: '1' } },
        config: { prices: price(CASH), maxOutputTokens: 100 },
      },
      { id: 'cloud', behaviour: { prices: { input: '0', output: '1' } }, config: { prices: price(CASH) } },
      { id: 'own', kind: 'local', config: { prices: price(FREE, CASH) } },
      { id: 'dead', dead: true, config: { prices: price(CASH) } },
    ],
    config: {
      routes: [
        { id: 'auto', backends: ['cloud'] },
        { id: 'either', backends: ['cloud', 'own'] },
      ],
      budgets: [
        // Ten requests of 100 output tokens at $1 per 1M, to the nano-dollar.
        { id: 'holds-ten', selector: { org: 'acme', backend: 'gated' }, window: 'total', limitUsd: '0.001' },
        {
          id: 'acme-day',
          selector: { org: 'acme', backend: 'cloud' },
          window: 'day',
          timeZone: 'Asia/Kolkata',
          limitUsd: '0.001',
          thresholds: [0.5, 0.8],
        },
        { id: 'globex-small', selector: { org: 'globex' }, window: 'month', limitUsd: '0.0001', basis: 'cash' },
      ],
      limits: { requestDeadlineMs: 60_000, unconfirmedGraceMs: 1_000 },
    },
    instances: { router: 4 },
  });
});
afterAll(() => product.stop());

async function gate(closed: boolean): Promise<void> {
  await fetch(`${product.simulator.url}/control/gate`, {
    method: 'POST',
    body: JSON.stringify({ model: 'gated', closed }),
  });
}

it('of 1,000 concurrent requests through four routers, a budget that holds ten grants ten (invariant 2)', async () => {
  const app = await product.app();
  await gate(true);
  const answers: string[] = [];
  const asked = Array.from({ length: 1_000 }, () =>
    ask(app, chat('Write 100 words.', { model: 'gated' }), { timeout: 60_000 }).then((m) =>
      answers.push(errorCode(m) || 'granted'),
    ),
  );
  // The backend answers only after all were decided.
  await waitFor(() => answers.length >= 990, 'the others to be decided', 50_000);
  expect(answers.filter((a) => a === 'granted')).toHaveLength(0);
  await gate(false);
  await Promise.all(asked);
  expect(answers.filter((a) => a === 'granted')).toHaveLength(10);
  expect(answers.filter((a) => a === 'budget_held')).toHaveLength(990);
  const counters = await Counters.connect(product.stack.redis.url);
  const window = await waitFor(
    async () => (await counters.inspectWindows()).find((w) => w.budget === 'holds-ten' && w.reservedNanos === 0n),
    'the holds to be settled',
  );
  expect(window).toMatchObject({ settledNanos: 1_000_000n, peakNanos: 1_000_000n });
  await counters.close();
  const late = await ask(app, chat('Write 100 words.', { model: 'gated' }));
  expect(errorCode(late)).toBe('budget_exhausted');
  expect(late.json<any>().error).toMatchObject({
    message: expect.stringContaining('it has no next window'),
    details: { budget: 'holds-ten', window: 'total', limit_usd: '0.001', settled_usd: '0.001', held_usd: '0' },
  });
});

it('a threshold is published once; a subscriber that was away gets it, again until it acknowledges', async () => {
  const app = await product.app();
  for (let i = 0; i < 6; i++) expect(errorCode(await ask(app, chat('Write 100 words.', { model: 'cloud' })))).toBe('');
  const live: string[] = [];
  const operator = await product.stack.connectOperator();
  // Nobody has listened so far: what was published meanwhile is delivered now.
  const got: { id: string; event: any; reply: () => void }[] = [];
  const subscriber = await product.app();
  // Everything the subscriber knows is in the generated AsyncAPI document.
  const { channels, operations } = JSON.parse(readFileSync('docs/reference/asyncapi.json', 'utf8'));
  expect(operations.deliverEvents).toMatchObject({ action: 'send', channel: { $ref: '#/channels/deliver' } });
  const address: string = channels.deliver.address
    .replace('{org}', 'acme')
    .replace('{subscriber}', channels.deliver.parameters.subscriber.default);
  subscriber.subscribe(address, {
    callback: (_e, m) => void got.push({ id: m.headers!.get('ce-id'), event: m.json(), reply: () => void m.respond() }),
  });
  const first = await waitFor(
    () => got.find((g) => g.event.threshold === 0.5 && g.event.budget === 'acme-day'),
    'the event of 50 %',
  );
  expect(first.event).toMatchObject({
    budget: 'acme-day',
    org: 'acme',
    basis: 'cash',
    limitUsd: '0.001',
    timeZone: 'Asia/Kolkata',
  });
  expect(BigInt(first.event.settledNanos)).toBeGreaterThanOrEqual(500_000n);
  for (const g of got) g.reply();
  operator.subscribe('budget.threshold-crossed.v1.>', { callback: (_e, m) => void live.push(m.headers!.get('ce-id')) });
  for (let i = 0; i < 2; i++) await ask(app, chat('Write 100 words.', { model: 'cloud' }));
  await waitFor(() => live.some((id) => id.startsWith('acme-day/')), 'the event of 80 %, live');
  expect(live.filter((id) => id.startsWith('acme-day/'))).toHaveLength(1);
  await operator.close();
});

it('a spent cash budget leaves own hardware usable (invariant 11)', async () => {
  const app = await product.app('globex');
  const refused = await ask(app, chat('Write 100 words.', { model: 'cloud', max_tokens: 1_000 }), { org: 'globex' });
  // Clamped to what is left: 100 tokens.
  expect(refused.json<any>().usage.completion_tokens).toBe(100);
  const counters = await Counters.connect(product.stack.redis.url);
  await waitFor(
    async () =>
      (await counters.inspectWindows()).find((w) => w.budget === 'globex-small' && w.settledNanos === 100_000n),
    'the budget to be spent',
  );
  await counters.close();
  expect(errorCode(await ask(app, chat('Write 100 words.', { model: 'cloud' }), { org: 'globex' }))).toBe(
    'budget_exhausted',
  );
  const own = await ask(app, chat('Write 100 words.', { model: 'either' }), { org: 'globex' });
  expect(own.json<any>().meritorder).toMatchObject({ backend: 'own', cost: { usd: '0', full_usd: '0.0001' } });
});

it('a durable job is kept, runs once, and its end is delivered', async () => {
  const app = await product.app('globex');
  const results: any[] = [];
  app.subscribe('deliver.v1.globex.results', {
    callback: (_e, m) => {
      results.push(m.json());
      m.respond();
    },
  });
  const h = headers();
  h.set('Nats-Msg-Id', 'job-1');
  const body = chat('Write 7 words.', { model: 'own' });
  const accepted = (await app.request('inference.job.v1.globex', body, { timeout: 5_000, headers: h })).json<any>();
  expect(accepted).toMatchObject({ stream: 'JOBS', seq: expect.any(Number), request_id: expect.any(String) });
  const again = (await app.request('inference.job.v1.globex', body, { timeout: 5_000, headers: h })).json<any>();
  expect(again).toMatchObject({ duplicate: true, request_id: accepted.request_id });
  const result = await waitFor(() => results.find((r) => r.requestId === accepted.request_id), 'the result of the job');
  expect(result).toMatchObject({
    status: 'ok',
    org: 'globex',
    body: { meritorder: { backend: 'own', usage: { outputTokens: 7 } } },
  });
  const bad = (await app.request('inference.job.v1.globex', '{"model":"auto"}', { timeout: 5_000 })).json<any>();
  expect(bad.error).toMatchObject({ code: 'body_invalid', description: expect.stringContaining('messages') });
  const calls = product.simulator.invoice().lines.filter((l: any) => l.model === 'own' && l.outputTokens === 7);
  expect(calls).toHaveLength(1);
});

it('a job nobody can run ends in an error result, and its attempts cost nothing', async () => {
  const app = await product.app();
  const accepted = (
    await app.request('inference.job.v1.acme', chat('x', { model: 'dead', meritorder: { deadline_ms: 3_000 } }), {
      timeout: 5_000,
    })
  ).json<any>();
  const results: any[] = [];
  app.subscribe('deliver.v1.acme.results', {
    callback: (_e, m) => {
      results.push(m.json());
      m.respond();
    },
  });
  const result = await waitFor(
    () => results.find((r) => r.requestId === accepted.request_id),
    'the error of the job',
    30_000,
  );
  expect(result).toMatchObject({
    status: 'error',
    body: { error: { code: expect.stringMatching(/backend_failed|backend_unavailable|deadline_exceeded/) } },
  });
});
