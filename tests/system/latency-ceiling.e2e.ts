import { EstimateReply, HEADERS, RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { replay } from '@meritorder/routing-core';
import { waitFor } from '@meritorder/testing';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const output = (usd: string) => [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: usd },
  },
];

let product: Product;
let app: NatsConnection;
const decisions: RoutingDecisionMadeV1[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [
      // The cheapest, and slower than its prior of 0.6 s says.
      { id: 'slow', behaviour: { firstTokenMs: 4_000 }, config: { prices: output('1') } },
      // Fast, though its operator expects otherwise.
      {
        id: 'fast',
        behaviour: { firstTokenMs: 1 },
        config: { prices: output('10'), latency: { firstTokenSeconds: 10, secondsPerToken: 0.000_1 } },
      },
    ],
    config: {
      routes: [{ id: 'auto', backends: ['slow', 'fast'], exploration: false }],
      tiers: [{ id: 'any' }, { id: 'quick', maxLatencyMs: 3_000 }, { id: 'prompt', maxFirstTokenMs: 2_000 }],
    },
  });
  app = await product.app();
  app.subscribe('routing.decision-made.v1.acme', {
    callback: (_error, message) => void decisions.push(RoutingDecisionMadeV1.parse(message.json())),
  });
  await app.flush();
});
afterAll(() => product?.stop());

/** One token, so that the prior of a backend that nobody measured is its first token's. */
const asked = (more: Record<string, unknown> = {}): Promise<Msg> =>
  ask(app, chat('Say it.', { max_tokens: 1, metadata: { tier: 'quick' }, ...more }));
const backendOf = (reply: Msg): string => {
  expect(errorCode(reply)).toBe('');
  return reply.json<{ meritorder: { backend: string } }>().meritorder.backend;
};

it('a tier leaves a cheap backend that turns out too slow, and tries one that is believed too slow and is not', async () => {
  // Until two answers of each were measured; before, two at a time are tried, and others are told to ask again in a second.
  const measured = (id: string): number | undefined =>
    decisions.at(-1)?.candidates.find((c) => c.backend === id)?.numbers?.measuredSeconds;
  const isFast = async (): Promise<boolean> => {
    const code = errorCode(await asked());
    expect(['', 'latency_ceiling']).toContain(code);
    return code === '' && (measured('slow') ?? 0) > 3 && (measured('fast') ?? Infinity) < 3;
  };
  await waitFor(isFast, { message: 'the slow one to be left and the fast one to be known', timeoutMs: 60_000 });
  const seen = decisions.filter((d) => d.choice === 'slow').length;
  expect(seen).toBeGreaterThanOrEqual(2);
  const others = await Promise.all(Array.from({ length: 20 }, () => asked()));
  expect(new Set(others.map(backendOf))).toEqual(new Set(['fast']));
  // Who has no ceiling is served as before.
  expect(backendOf(await asked({ metadata: { tier: 'any' } }))).toBe('slow');
});

it('the record says of which backend and by how much, and decides the same again', async () => {
  const record = await waitFor(() => decisions.findLast((d) => d.policy?.maxLatencySeconds === 3), 'a record');
  const slow = record.candidates.find((c) => c.backend === 'slow')!;
  expect(slow).toMatchObject({
    exclusionCode: 'too-slow',
    excluded: expect.stringMatching(/^is expected to answer in [4-9]\.\d+ s, above the ceiling of 3 s$/),
    numbers: { measuredSeconds: expect.any(Number) },
  });
  for (const decision of decisions) expect(replay(decision)).toMatchObject({ same: true, differences: [] });
  expect(replay({ ...record, policy: { ...record.policy!, maxLatencySeconds: undefined } })).toMatchObject({
    same: false,
  });
});

it('a stream is kept from who begins too late, and an answer in one piece is not', async () => {
  const prompt = (more: object): Promise<Msg> => asked({ metadata: { tier: 'prompt' }, ...more });
  const first = await prompt({ stream: true });
  expect([errorCode(first), first.headers?.get(HEADERS.backend)]).toEqual(['', 'fast']);
  expect(backendOf(await prompt({}))).toBe('slow');
  const record = await waitFor(() => decisions.findLast((d) => d.policy?.maxFirstTokenSeconds === 2), 'a record');
  expect(record.candidates.find((c) => c.backend === 'slow')).toMatchObject({
    exclusionCode: 'too-slow',
    excluded: expect.stringMatching(
      /^is expected to say its first token after [4-9]\.\d+ s, above the ceiling of 2 s$/,
    ),
  });
  expect(replay(record)).toMatchObject({ same: true, differences: [] });
  const wish = await asked({ metadata: {}, stream: true, meritorder: { max_first_token_ms: 1_000 } });
  expect([errorCode(wish), wish.headers?.get(HEADERS.backend)]).toEqual(['', 'fast']);
  const alone = await asked({ metadata: {}, model: 'slow', stream: true, meritorder: { max_first_token_ms: 1_000 } });
  expect(errorCode(alone)).toBe('latency_ceiling');
});

it('an estimate says so as a request would find', async () => {
  const body = JSON.parse(chat('Say it.', { max_tokens: 1, metadata: { tier: 'quick' } })) as object;
  const reply = await app.request('inference.estimate.v1.acme', JSON.stringify({ body }), { timeout: 5_000 });
  const { rows } = EstimateReply.parse(reply.json()) as Extract<EstimateReply, { rows: unknown }>;
  expect(Object.fromEntries(rows.map((r) => [r.backend, r.state === 'able' ? '' : r.reason]))).toEqual({
    fast: '',
    slow: expect.stringContaining('above the ceiling of 3 s'),
  });
});

it('a caller can ask for less, not for more, and who nobody answers in time is told when to ask again', async () => {
  const wish = (max_latency_ms: number, model = 'auto') => asked({ model, meritorder: { max_latency_ms } });
  expect(errorCode(await wish(60_000, 'slow'))).toBe('latency_ceiling');
  const refused = await wish(60_000, 'slow');
  const { error } = refused.json<{ error: { message: string; details: Record<string, unknown> } }>();
  expect(error.message).toContain('slow: is expected to answer in ');
  expect(error.details).toMatchObject({ backends: ['slow'] });
  expect(Number(refused.headers?.get('Retry-After'))).toBeGreaterThan(0);
  await waitFor(async () => errorCode(await wish(1)) === 'latency_ceiling', {
    message: 'a ceiling that nobody meets',
    timeoutMs: 20_000,
  });
});
