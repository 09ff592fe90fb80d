import { RoutingDecisionMadeV1, type OutcomeReply, type OutcomeReport } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chat, startProduct, type Product } from './harness.js';

const backend = (id: string, usdPerMillion: string, quality: { prior: number; outcomes?: number }) => ({
  id,
  behaviour: { prices: { input: '0', output: usdPerMillion } },
  config: {
    model: id,
    prices: [
      {
        effectiveFrom: '2025-01-01T00:00:00Z',
        cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: usdPerMillion },
      },
    ],
    quality,
  },
});
const value = (id: string, backends: string[]) => ({
  id,
  backends,
  objective: 'value',
  usdPerQualityPoint: '0.02',
  exploration: false,
});

let product: Product;
let app: NatsConnection;
const decisions: RoutingDecisionMadeV1[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [
      backend('good', '2', { prior: 0.9 }),
      backend('poor', '1', { prior: 0.7 }),
      backend('bad', '2', { prior: 0.9 }),
      backend('firm', '2', { prior: 0.9, outcomes: 10_000 }),
    ],
    config: {
      orgs: [{ id: 'acme' }],
      routes: [value('few', ['good', 'poor']), value('many', ['bad', 'poor']), value('sure', ['firm', 'poor'])],
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

async function serve(model: string): Promise<Receipt> {
  const reply = await ask(app, chat('Summarise this text for me please.', { model, metadata: { feature: model } }));
  return reply.json<{ meritorder: Receipt }>().meritorder;
}
const serveMany = (model: string, times: number) => Promise.all(Array.from({ length: times }, () => serve(model)));
async function report(outcome: OutcomeReport): Promise<void> {
  const reply = await app.request('outcome.reported.v1.acme', JSON.stringify(outcome), { timeout: 5_000 });
  expect(reply.json<OutcomeReply>()).toHaveProperty('state');
}
const sharesOf = (receipts: readonly Receipt[], id: string): number =>
  receipts.filter((r) => r.backend === id).length / receipts.length;

describe('where retries alone are reported', () => {
  it('a few of them among many answers do not move the traffic', async () => {
    for (let round = 0; round < 6; round++) {
      const receipts = await serveMany('few', 20);
      await report({ request_id: receipts[0]!.request_id, kind: 'retry' });
    }
    // The answers that nobody retried are learned: no longer what was said of it at the start.
    const last = await waitFor(
      async () => {
        const receipts = await serveMany('few', 10);
        return receipts.every((r) => /^good: \.9[1-9] expected quality/.test(r.reason)) && receipts;
      },
      { message: 'the answers to be counted', timeoutMs: 20_000 },
    );
    expect(sharesOf(last, 'good')).toBe(1);
  });

  it('a backend whose answers are retried again and again loses its traffic', async () => {
    await waitFor(
      async () => {
        const receipts = await serveMany('many', 10);
        for (const { backend: id, request_id } of receipts)
          if (id === 'bad') await report({ request_id, kind: 'retry' });
        return sharesOf(receipts, 'poor') === 1;
      },
      { message: 'the traffic to leave the bad one', timeoutMs: 40_000 },
    );
  });

  it('a prior that counts for ten thousand reports is not overruled by twenty', async () => {
    for (let i = 0; i < 20; i++) {
      const { request_id } = await serve('sure');
      await report({ request_id, kind: 'thumbs', value: false });
    }
    const heard = async (): Promise<number> => {
      const { request_id } = await serve('sure');
      const { candidates } = await waitFor(() => decisions.find((d) => d.requestId === request_id), 'its record');
      return candidates.find((c) => c.backend === 'firm')!.numbers!.outcomes!;
    };
    // The first one begins the counting.
    await waitFor(async () => (await heard()) >= 19, { message: 'the reports to be learned', timeoutMs: 20_000 });
    expect(sharesOf(await serveMany('sure', 10), 'firm')).toBe(1);
  });
});
