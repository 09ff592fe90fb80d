import { nanosToUsd } from '@meritorder/kernel';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hearRated } from './books.js';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';
import { startScriptedProvider, type ScriptedProvider } from './scripted-provider.js';

/** 1,000 tokens in and 1,000 out are $0.01. */
const prices = [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash: { inputUsdPerMillionTokens: '2', outputUsdPerMillionTokens: '8' } },
];
const STANDARD_NANOS = 10_000_000n;
let scripted: ScriptedProvider;
let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let rated: Map<string, any>;

/** Of a project whose default is Priority: it serves the standard tier to who asks for it. */
function answer({ model, service_tier: asked = 'auto' }: Record<string, any>): { status: number; body: object } {
  const message = { role: 'assistant', content: 'all is fine' };
  const usage = { prompt_tokens: 1_000, completion_tokens: 1_000, total_tokens: 2_000 };
  const choices = [{ index: 0, message, finish_reason: 'stop' }];
  const service_tier = asked === 'auto' ? 'priority' : asked;
  return {
    status: 200,
    body: { id: 'c-1', object: 'chat.completion', created: 1, model, service_tier, choices, usage },
  };
}

beforeAll(async () => {
  scripted = await startScriptedProvider(answer);
  const at = (id: string, provider: string, more: object = {}) => ({
    id,
    config: { provider, catalogue: false, baseUrl: scripted.url, prices, ...more },
  });
  const priority = [
    { ...prices[0]!, cash: { ...prices[0]!.cash, serviceTiers: { priority: { percentOfStandard: '175' } } } },
  ];
  product = await startProduct({
    backends: [at('standard', 'openai'), at('priced', 'openai', { prices: priority }), at('stranger', 'somebody')],
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
  rated = await hearRated(operator, 'acme');
});
afterAll(async () => {
  await operator?.close();
  await product?.stop();
  await scripted?.stop();
});

async function served(model: string, more: object = {}): Promise<{ tier: unknown; cost: any; event: any }> {
  const { meritorder } = (await ask(app, chat('Hi', { model, max_tokens: 2_000, ...more }))).json<any>();
  const id = meritorder.attempts.at(-1).attempt_id as string;
  const event = await waitFor(() => rated.get(id), 'it to be rated');
  return { tier: scripted.asked.at(-1)!['service_tier'], cost: meritorder.cost, event };
}

it.each([undefined, 'auto'])('OpenAI is asked for the standard tier where no other has a price: %s', async (asked) => {
  const { tier, cost, event } = await served('standard', { service_tier: asked });
  expect(tier).toBe('default');
  expect(cost).toMatchObject({ usd: nanosToUsd(STANDARD_NANOS), basis: 'confirmed' });
  expect(event).toMatchObject({ state: 'confirmed', servedTier: 'standard' });
});

it('where another has a price, the provider chooses, and that price is booked', async () => {
  const { tier, cost, event } = await served('priced');
  expect(tier).toBeUndefined();
  expect(cost).toMatchObject({ usd: '0.0175', basis: 'confirmed' });
  expect(event).toMatchObject({ state: 'confirmed', servedTier: 'priority', cost: { cashNanos: '17500000' } });
});

it('a tier that was served without a price is not confirmed: receipt and books have what it may cost', async () => {
  const { tier, cost, event } = await served('stranger');
  expect(tier).toBeUndefined();
  expect(event).toMatchObject({ state: 'unconfirmed', unpriced: ['service-tier:priority'] });
  const bound = BigInt(event.bound.cashNanos);
  const most = bound > STANDARD_NANOS ? bound : STANDARD_NANOS;
  expect(event.cost.cashNanos).toBe(String(most));
  expect(cost).toMatchObject({ usd: nanosToUsd(most), basis: 'unconfirmed' });
});

it('a tier without a price that is asked for is refused with what to add', async () => {
  const reply = await ask(app, chat('Hi', { model: 'standard', service_tier: 'priority' }));
  expect(errorCode(reply)).toBe('no_able_backend');
  expect(reply.json<any>().error).toMatchObject({
    param: 'service_tier',
    message: expect.stringContaining('cash: { serviceTiers: { priority: { percentOfStandard: "..." } } }'),
  });
});
