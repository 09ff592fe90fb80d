import { RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, chat, startProduct, type Product } from './harness.js';

const equallyDear = (prior: number) => ({
  behaviour: { prices: { input: '0', output: '1' } },
  config: {
    prices: [
      {
        effectiveFrom: '2025-01-01T00:00:00Z',
        cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '1' },
      },
    ],
    // Held less firmly than by default, where it alone would keep a backend that is given up above what is asked for here.
    quality: { prior, outcomes: 10 },
  },
});

let product: Product;
let app: NatsConnection;
let decisions: RoutingDecisionMadeV1[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'old', ...equallyDear(0.8) },
      { id: 'fresh', ...equallyDear(0.75) },
    ],
    config: {
      routes: [{ id: 'auto', backends: ['old', 'fresh'], objective: 'value', usdPerQualityPoint: '0.02' }],
      budgets: [
        {
          id: 'acme-month',
          selector: { org: 'acme' },
          window: 'month',
          limitUsd: '1000',
          thresholds: [],
          pacing: 'off',
        },
      ],
    },
    instances: { router: 3 },
  });
  app = await product.app();
  app.subscribe('routing.decision-made.v1.acme', {
    callback: (_error, message) => void decisions.push(RoutingDecisionMadeV1.parse(message.json())),
  });
  await app.flush();
});
afterAll(() => product?.stop());

it('no router decides by the old policy for longer than a second after the change was asked for', async () => {
  const operator = await product.stack.connectOperator();
  let loading = true;
  const load = (async () => {
    while (loading) await Promise.all(Array.from({ length: 6 }, () => ask(app, chat('Say it.'))));
  })();
  const isNew = ({ candidates }: RoutingDecisionMadeV1): boolean =>
    candidates.every((c) => c.numbers?.shadowCash === shadowPrice);
  let shadowPrice = 0;
  for (shadowPrice of [3, 5, 7]) {
    const askedAtMs = Date.now();
    decisions = [];
    const pin = { verb: 'pin', budget: 'acme-month', by: 'a test', shadowPrice };
    await operator.request('budget-policy.pacing.v1', JSON.stringify(pin), { timeout: 5_000 });
    // Thirty in a row by the same router of three would be one chance in 10^13.
    await waitFor(() => decisions.filter(isNew).length >= 30, { message: 'new decisions', timeoutMs: 10_000 });
    await waitFor(() => Date.now() - askedAtMs > 1_500, { message: 'a second and a half', timeoutMs: 5_000 });
    const late = decisions.filter((d) => !isNew(d) && Date.parse(d.decidedAt) > askedAtMs + 1_000);
    expect(late).toEqual([]);
  }
  loading = false;
  await load;
});

interface Receipt {
  backend: string;
  request_id: string;
}

async function judged(count: number, worth: Record<string, number>): Promise<string[]> {
  const served: string[] = [];
  for (let i = 0; i < count; i++) {
    const reply = await ask(app, chat('Summarise it.', { metadata: { feature: 'summary' } }));
    const { backend, request_id } = reply.json<{ meritorder: Receipt }>().meritorder;
    const report = JSON.stringify({ request_id, kind: 'judge', value: worth[backend] });
    await app.request('outcome.reported.v1.acme', report, { timeout: 5_000 });
    served.push(backend);
  }
  return served;
}

it('a new backend that is believed to be worse gets its chance, wins by what is reported, and loses again when it is silently made worse', async () => {
  const lastShare = (served: string[]): number =>
    served.slice(-20).filter((backend) => backend === 'fresh').length / 20;
  expect(lastShare(await judged(150, { old: 0.8, fresh: 0.95 }))).toBeGreaterThanOrEqual(0.8);
  const worse = { old: 0.8, fresh: 0.4 };
  expect(lastShare(await judged(80, worse))).toBeLessThanOrEqual(0.2);
  // The evidence of before is not outvoted but given up: it would have taken as many outcomes again.
  const numbersOf = (id: string) => decisions.at(-1)!.candidates.find((c) => c.backend === id)!.numbers!;
  await waitFor(async () => {
    await judged(1, worse);
    return numbersOf('fresh').quality < 0.7;
  }, 'the last router to know');
  expect(numbersOf('fresh').outcomes).toBeLessThan(80);
});
