import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { waitFor } from '@meritorder/testing';
import { ask, chat, startProduct, type Product } from './harness.js';

/** 100 output tokens cost $0.0001; input is free. */
const CASH = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '1' };

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'cloud',
        behaviour: { prices: { input: '0', output: '1' } },
        config: { prices: [{ effectiveFrom: '2025-01-01T00:00:00Z', cash: CASH }], maxOutputTokens: 100 },
      },
    ],
    config: {
      orgs: [{ id: 'acme', subscribers: [] }],
      routes: [{ id: 'any', backends: ['cloud'] }],
      budgets: [
        // 40 requests cost $0.004, in seconds.
        { id: 'short', selector: { org: 'acme', feature: 'short' }, window: 'day', limitUsd: '0.01', thresholds: [] },
        { id: 'ample', selector: { org: 'acme' }, window: 'month', limitUsd: '10000', thresholds: [] },
      ],
    },
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
});
afterAll(async () => {
  await operator?.close();
  await product?.stop();
});

async function pacing(request: Record<string, unknown>): Promise<any> {
  const body = request['verb'] === 'list' ? request : { ...request, by: 'ada' };
  return (await operator.request('budget-policy.pacing.v1', JSON.stringify(body), { timeout: 5_000 })).json();
}
const row = async (budget: string) =>
  (await pacing({ verb: 'list' })).budgets.find((b: { budget: string }) => b.budget === budget);

it('a day that will not last is projected from its traffic, and a month that will is left alone', async () => {
  for (let i = 0; i < 40; i++)
    await ask(app, chat('Write 100 words.', { model: 'cloud', metadata: { feature: 'short' } }));
  await waitFor(async () => (await row('short'))?.stage === 'tighten', 'the stage of the short day');
  expect(await row('short')).toMatchObject({ pacing: 'projected', limitNanos: '10000000', pinned: false });
  expect((await row('short')).unconstrained.expectedUsd).toBeGreaterThan(0.01);
  expect((await row('short')).spareRoomNanos).toMatch(/^\d+$/);
  expect(await row('ample')).toMatchObject({ stage: 'steady', shadowPrice: 0, spareRoomNanos: null });
});

it('a word of the operator is answered when it is in force, and orgs cannot say it', async () => {
  const answer = await pacing({ verb: 'pin', budget: 'ample', shadowPrice: 2, reason: 'audit' });
  expect(answer.budgets).toMatchObject([{ budget: 'ample', shadowPrice: 2, pinned: true, by: 'ada' }]);
  expect((await pacing({ verb: 'unpin', budget: 'ample' })).budgets).toMatchObject([{ shadowPrice: 0, pinned: false }]);
  expect(await pacing({ verb: 'pin', budget: 'ample' })).toMatchObject({ error: { message: /pin a stage/ } });
  await expect(
    app.request('budget-policy.pacing.v1', JSON.stringify({ verb: 'list' }), { timeout: 1_000 }),
  ).rejects.toThrow();
});
