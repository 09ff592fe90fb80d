import { waitFor } from '@meritorder/testing';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, chat, startProduct, type Product } from './harness.js';

/** Own hosts of one model, one 25 times as fast as the other, beside a cloud backend. */
const host = (id: string) => ({
  id,
  gpus: 1,
  owned: { purchaseUsd: '10000', salvageUsd: '1000', lifeYears: 4, inServiceFrom: '2025-01-01T00:00:00Z' },
  power: { idleWattsPerGpu: 60, loadWattsPerGpu: 400, pue: 1.2, usdPerKilowattHour: '0.2' },
  practicalCapacity: 0.6,
});
const own = (id: string, hostId: string, tokensPerSecond: number) => ({
  id,
  kind: 'local' as const,
  behaviour: {},
  config: {
    host: hostId,
    // As the simulated engine calls what both serve.
    model: 'new',
    prices: [],
    maxConcurrency: 16,
    capabilities: ['streaming'],
    quality: { prior: 0.8 },
    throughput: {
      gpus: 1,
      prefillTokensPerSecond: 10_000,
      decodeTokensPerSecond: [
        { batch: 1, tokensPerSecond },
        { batch: 16, tokensPerSecond: 10 * tokensPerSecond },
      ],
      batch: 16,
    },
  },
});
const cloud = {
  id: 'cloud',
  behaviour: { prices: { input: '0', output: '10' } },
  config: {
    prices: [
      {
        effectiveFrom: '2025-01-01T00:00:00Z',
        cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '10' },
      },
    ],
    quality: { prior: 0.8 },
  },
};
const late = { targetLatencyMs: 3_000, usdPerSecondLate: '0.001' };
const JOBS = 8;

let product: Product;
let app: NatsConnection;
const results = new Map<string, any>();

beforeAll(async () => {
  product = await startProduct({
    backends: [own('new', 'gpu-1', 200), own('old', 'gpu-2', 8), cloud],
    config: {
      orgs: [{ id: 'acme' }],
      hosts: [host('gpu-1'), host('gpu-2')],
      routes: [
        { id: 'auto', backends: ['new', 'old', 'cloud'], ...late },
        { id: 'own', backends: ['new', 'old'], ...late },
      ],
    },
  });
  app = await product.app();
  app.subscribe('deliver.v1.acme.results', {
    callback: (_error, message) => {
      const result = message.json<any>();
      results.set(result.requestId, result);
      message.respond();
    },
  });
});
afterAll(() => product?.stop());

it('what begins in a new way goes to the idle faster host, not by its prefix to the slower one nor to the cloud', async () => {
  for (const model of ['auto', 'own'])
    for (let i = 0; i < 20; i++) {
      const answer = await ask(
        app,
        chat(`Question ${i * 7919}: tell me about topic ${i}.`, { model, max_tokens: 200 }),
      );
      expect(answer.json<any>().meritorder).toMatchObject({ backend: 'new', cost: { usd: '0' } });
    }
});

it('a job does not wait in front of the idle faster host, and then pay', async () => {
  const ids: string[] = [];
  for (let i = 0; i < JOBS; i++) {
    const meritorder = { deadline_ms: 75_000 };
    const body = chat(`Question ${i * 7919}: tell me about topic ${i}.`, {
      model: 'auto',
      max_tokens: 200,
      meritorder,
    });
    const h = headers();
    h.set('Nats-Msg-Id', `unequal-${i}`);
    ids.push(
      await waitFor(
        async () => {
          const answer = await app.request('inference.job.v1.acme', body, { timeout: 2_000, headers: h });
          return answer.json<any>().request_id as string | undefined;
        },
        { message: `job ${i} to be kept`, timeoutMs: 20_000 },
      ),
    );
  }
  // A job that waits is looked at again after 5 s; those that waited here did so for 27 s.
  await waitFor(() => ids.every((id) => results.has(id)), { message: 'all results', timeoutMs: 20_000 });
  for (const id of ids) expect(results.get(id).body.meritorder).toMatchObject({ backend: 'new', cost: { usd: '0' } });
});
