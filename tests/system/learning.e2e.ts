import { RoutingDecisionMadeV1, type OutcomeReply } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, chat, startProduct, type Product } from './harness.js';

const perMillionOutput = (usd: string) => [
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
      // Dearer, and as it turns out worse; nobody said so.
      {
        id: 'dominated',
        behaviour: { prices: { input: '0', output: '2' } },
        config: { prices: perMillionOutput('2'), quality: { prior: 0.8 } },
      },
      {
        id: 'good',
        behaviour: { prices: { input: '0', output: '1.5' } },
        config: { prices: perMillionOutput('1.5'), quality: { prior: 0.7 } },
      },
      {
        id: 'paced',
        behaviour: { prices: { input: '0', output: '10' } },
        config: { prices: perMillionOutput('10'), quality: { prior: 0.9 } },
      },
    ],
    config: {
      orgs: [{ id: 'acme' }, { id: 'globex' }],
      routes: [
        { id: 'auto', backends: ['dominated', 'good'], objective: 'value', usdPerQualityPoint: '0.02' },
        { id: 'sell', backends: ['dominated', 'good'], objective: 'margin', exploration: false },
        {
          id: 'scarce',
          backends: ['good', 'paced'],
          objective: 'value',
          usdPerQualityPoint: '0.02',
          exploration: false,
        },
      ],
      budgets: [
        {
          id: 'scarce-month',
          selector: { org: 'globex' },
          window: 'month',
          limitUsd: '5',
          thresholds: [],
          pacing: 'always',
        },
      ],
    },
  });
  app = await product.app();
  app.subscribe('routing.decision-made.v1.acme', {
    callback: (_error, message) => void decisions.push(RoutingDecisionMadeV1.parse(message.json())),
  });
  await app.flush();
});
afterAll(() => product?.stop());

interface Receipt {
  backend: string;
  request_id: string;
  reason: string;
}

async function serve(nats: NatsConnection, org: string, model: string): Promise<Receipt> {
  const reply = await ask(nats, chat('Summarise it.', { model, metadata: { feature: 'summary' } }), { org });
  return reply.json<{ meritorder: Receipt }>().meritorder;
}

it('a dearer and worse backend loses its traffic to what applications report, without being told', async () => {
  const first = await serve(app, 'acme', 'auto');
  const decision = await waitFor(() => decisions.find((d) => d.requestId === first.request_id), 'its record');
  const scoreOf = (id: string): number => decision.candidates.find((c) => c.backend === id)!.scoreUsd!;
  // Before anything is reported the dearer one is believed to be better; another is chosen to find out alone.
  expect(scoreOf('dominated')).toBeGreaterThan(scoreOf('good'));
  if (decision.choiceKind === 'best') expect(first.backend).toBe('dominated');
  const report = async ({ backend, request_id }: Receipt): Promise<void> => {
    const body = { request_id, kind: 'judge', value: backend === 'good' ? 0.9 : 0.3 };
    const reply = (
      await app.request('outcome.reported.v1.acme', JSON.stringify(body), { timeout: 5_000 })
    ).json<OutcomeReply>();
    expect(reply).toHaveProperty('state');
  };
  await report(first);
  for (let i = 0; i < 60; i++) await report(await serve(app, 'acme', 'auto'));
  const later = await waitFor(
    async () => {
      const receipts = await Promise.all(Array.from({ length: 20 }, () => serve(app, 'acme', 'auto')));
      return receipts.filter((r) => r.backend === 'good').length >= 16 && receipts;
    },
    { message: 'the traffic to leave the dominated backend', timeoutMs: 20_000 },
  );
  expect(later.find((r) => r.backend === 'good')!.reason).toContain('expected quality');
  const last = decisions.at(-1)!;
  expect(last.candidates.find((c) => c.backend === 'dominated')!.numbers!.outcomes).toBeGreaterThan(0);
  expect(last.candidates.reduce((sum, c) => sum + (c.probability ?? 0), 0)).toBeCloseTo(1, 9);
});

it('conversions decide under margin: where one backend sells and another does not, traffic follows, once there is enough to say so', async () => {
  const sell = async (): Promise<Receipt> => {
    const reply = await ask(app, chat('Sell it.', { model: 'sell', metadata: { feature: 'shop' } }));
    return reply.json<{ meritorder: Receipt }>().meritorder;
  };
  const direct = async (model: string): Promise<Receipt> => {
    const reply = await ask(app, chat('Sell it.', { model, metadata: { feature: 'shop' } }));
    return reply.json<{ meritorder: Receipt }>().meritorder;
  };
  const early = await sell();
  expect(early.reason).toContain('not enough data on conversions of');
  for (let i = 0; i < 40; i++) {
    const { request_id } = await direct('dominated');
    const body = { request_id, kind: 'conversion', revenue_usd: '10' };
    await app.request('outcome.reported.v1.acme', JSON.stringify(body), { timeout: 5_000 });
    await direct('good');
  }
  const receipt = await waitFor(
    async () => {
      const one = await sell();
      return one.backend === 'dominated' && one;
    },
    { message: 'the traffic to follow the conversions', timeoutMs: 20_000 },
  );
  expect(receipt.reason).toContain('expected conversion');
});

it('what one org reports changes nothing for another (invariant 10)', async () => {
  const globex = await product.app('globex');
  const seen: RoutingDecisionMadeV1[] = [];
  globex.subscribe('routing.decision-made.v1.globex', {
    callback: (_error, message) => void seen.push(RoutingDecisionMadeV1.parse(message.json())),
  });
  await globex.flush();
  await serve(globex, 'globex', 'auto');
  const [first] = await waitFor(() => seen.length > 0 && seen, { message: 'its decision', timeoutMs: 5_000 });
  expect(first!.candidates.map((c) => [c.backend, c.numbers?.quality, c.numbers?.outcomes])).toEqual([
    ['dominated', 0.8, 0],
    ['good', 0.7, 0],
  ]);
});

it('spending faster than a paced budget lasts raises its shadow price at the routers, and the receipt names it', async () => {
  const globex = await product.app('globex');
  // $5 a month, and each answer of the better one costs up to $0.001: at this speed it lasts some minutes.
  const named = await waitFor(
    async () => {
      const receipts = await Promise.all(Array.from({ length: 10 }, () => serve(globex, 'globex', 'scarce')));
      return receipts.find((r) => r?.reason.includes("scarce-month's shadow price of"));
    },
    { message: 'a shadow price in a reason', timeoutMs: 30_000 },
  );
  expect(named.reason).toMatch(/scarce-month's shadow price of [\d.]+/);
});
