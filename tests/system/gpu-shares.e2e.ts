import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { waitFor } from '@meritorder/testing';
import { ask, chat, startProduct, type Product } from './harness.js';

const SLOTS = 4;
/** Between an answer and the next request: a worker tells routers of a free slot within 20 ms. */
const THOUGHT_MS = 30;
/** So long that its tokens at the cloud cost more than the last free slot counts for: shares alone decide. */
const WORDS = 50;
const FREE = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' };
const DEAR = [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '100' },
  },
];
let product: Product;
/** As the worker of the GPU host says: who has its slots. */
let slots: Record<string, number> = {};

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'gpu',
        kind: 'local',
        // Heartbeats and engines are heard once a second: what is shared out lasts longer.
        behaviour: { firstTokenMs: 1_500 },
        config: {
          maxConcurrency: SLOTS,
          prices: [{ effectiveFrom: '2025-01-01T00:00:00Z', cash: FREE, full: FREE }],
        },
      },
      {
        id: 'cloud',
        behaviour: { firstTokenMs: 500, prices: { input: '0', output: '100' } },
        config: { prices: DEAR },
      },
    ],
    config: {
      routes: [
        { id: 'own', backends: ['gpu'] },
        { id: 'hybrid', backends: ['gpu', 'cloud'], exploration: false },
      ],
      orgs: [{ id: 'acme' }, { id: 'globex' }, { id: 'initech', gpuWeight: 3 }],
      // Nobody waits: who is refused is seen.
      limits: { waitForSlotMs: 0 },
    },
    instances: { router: 2 },
  });
  const operator = await product.stack.connectOperator();
  operator.subscribe('worker.heartbeat.v1.>', {
    callback: (_error, m) => {
      const { backend, orgs } = m.json<{ backend: string; orgs: Record<string, number> }>();
      if (backend === 'gpu') slots = Object.fromEntries(Object.entries(orgs).toSorted());
    },
  });
});
afterAll(() => product?.stop());

/** Keeps so many requests of an org in flight until it is stopped, and says where they were served. */
async function keepAsking(
  org: string,
  atOnce: number,
  model = 'own',
): Promise<{ served: string[]; stop(): Promise<void> }> {
  const app: NatsConnection = await product.app(org);
  const served: string[] = [];
  let going = true;
  const loops = Array.from({ length: atOnce }, async () => {
    while (going) {
      const answer = await ask(app, chat(`Write ${WORDS} words.`, { model }), { org }).catch(() => undefined);
      const body = answer?.json<any>();
      const by = body?.meritorder?.backend ?? body?.error.code ?? 'lost';
      served.push(by);
      await delay(by === 'gpu' || by === 'cloud' ? THOUGHT_MS : 100);
    }
  });
  return {
    served,
    async stop() {
      going = false;
      await Promise.all(loops);
    },
  };
}
const PATIENCE = 40_000;
const comes = (expected: Record<string, number>): Promise<unknown> =>
  waitFor(() => isDeepStrictEqual(slots, expected), `${JSON.stringify(expected)} to have the slots`, PATIENCE);

it('a greedy org has all slots while it is alone, its part beside others, and all again when they have gone', async () => {
  const greedy = await keepAsking('acme', 12);
  await comes({ acme: SLOTS });

  const modest = await keepAsking('globex', 2);
  await comes({ acme: 2, globex: 2 });
  const answered = (): number => modest.served.filter((b) => b === 'gpu').length;
  const from = answered();
  await waitFor(() => answered() >= from + 6, 'the modest one to be answered, again and again', PATIENCE);

  await modest.stop();
  await comes({ acme: SLOTS });
  await greedy.stop();
  // What it may not have is refused as what finds no slot: come again.
  expect(new Set(greedy.served)).toEqual(new Set(['gpu', 'backend_unavailable']));
});

it('among those who want everything, slots follow weights', async () => {
  const light = await keepAsking('acme', 8);
  const heavy = await keepAsking('initech', 8);
  await comes({ acme: 1, initech: 3 });
  await Promise.all([light.stop(), heavy.stop()]);
});

it('with a cloud beside, everybody is served, and what is beyond the part of a greedy org goes there', async () => {
  const greedy = await keepAsking('acme', 12, 'hybrid');
  await comes({ acme: SLOTS });
  const modest = await keepAsking('globex', 2, 'hybrid');
  await comes({ acme: 2, globex: 2 });
  const lately = (): number => modest.served.slice(-8).filter((b) => b === 'gpu').length;
  await waitFor(() => lately() >= 6, 'six of the last eight of the modest one to be served on its part', PATIENCE);
  await Promise.all([greedy.stop(), modest.stop()]);
  for (const { served } of [greedy, modest]) expect(served.every((b) => b === 'gpu' || b === 'cloud')).toBe(true);
  expect(greedy.served).toContain('cloud');
});
