import { QualityModelShiftedV1, type OutcomeReply } from '@meritorder/contracts';
import { jetstreamManager } from '@nats-io/jetstream';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { seededRandom } from '@meritorder/kernel';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const served = (model: string) => ({ config: { model, quality: { prior: 0.85 } }, behaviour: {} });

let product: Product;
let app: NatsConnection;
const live: Msg[] = [];
const delivered: Msg[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'changed', ...served('changed') },
      { id: 'steady', ...served('steady') },
    ],
    config: {
      orgs: [
        { id: 'acme', subscribers: [{ name: 'quality', context: 'quality' }] },
        { id: 'globex', subscribers: [] },
      ],
    },
    instances: { router: 2 },
  });
  app = await product.app();
  app.subscribe('quality.model-shifted.v1.acme', { callback: (_error, message) => void live.push(message) });
  app.subscribe('deliver.v1.acme.quality', {
    callback: (_error, message) => {
      delivered.push(message);
      message.respond();
    },
  });
  await app.flush();
});
afterAll(() => product?.stop());

const random = seededRandom(20_261_125);
/** One answer and what a judge made of it: about `quality`. */
async function judged(model: string, quality: number): Promise<void> {
  const answer = await ask(app, chat('Summarise it.', { model, metadata: { feature: 'summary' } }));
  expect(errorCode(answer)).toBe('');
  const { request_id } = answer.json<{ meritorder: { request_id: string } }>().meritorder;
  const body = { request_id, kind: 'judge', value: quality + 0.2 * (random() - 0.5) };
  const reply = await app.request('outcome.reported.v1.acme', JSON.stringify(body), { timeout: 5_000 });
  expect(reply.json<OutcomeReply>()).toHaveProperty('state');
}
const keptShifts = async (): Promise<number> => {
  const operator = await product.stack.connectOperator();
  try {
    const manager = await jetstreamManager(operator);
    const { state } = await manager.streams.info('EVENTS', { subjects_filter: 'quality.model-shifted.v1.*' });
    return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
  } finally {
    await operator.close();
  }
};

it('a model that a provider changes without a word is told to its org once, by two routers, with since when and by how much', async () => {
  for (let i = 0; i < 60; i++) {
    await judged('changed', 0.85);
    await judged('steady', 0.85);
  }
  expect(await keptShifts()).toBe(0);
  const changedAtMs = Date.now();
  for (let i = 0; i < 120 && live.length === 0; i++) {
    await judged('changed', 0.35);
    await judged('steady', 0.85);
  }
  await waitFor(() => live.length > 0 && delivered.length > 0, { message: 'the shift to be told' });
  const shift = QualityModelShiftedV1.parse(live[0]!.json());
  expect(shift).toMatchObject({
    org: 'acme',
    provider: 'simco',
    model: 'changed',
    backends: ['changed'],
    metric: 'quality',
    direction: 'worse',
  });
  expect(shift.before - shift.after).toBeGreaterThan(0.1);
  expect(shift.evidence.deviations).toBeGreaterThanOrEqual(shift.evidence.threshold);
  // Outcomes wait a moment between their report and the event.
  expect(Date.parse(shift.since)).toBeGreaterThanOrEqual(changedAtMs - 5_000);
  expect(Date.parse(shift.noticedAt)).toBeGreaterThan(Date.parse(shift.since));
  expect(shift.reason).toMatch(/^changed of simco answers worse than it did: 0\.\d\d where 0\.\d\d was expected/);
  // CloudEvents, as all that is told.
  expect(live[0]!.headers?.get('ce-type')).toBe('quality.model-shifted.v1');
  expect(live[0]!.headers?.get('ce-id')).toBe(`acme/simco/changed/worse/${shift.since}`);
  expect(QualityModelShiftedV1.parse(delivered[0]!.json())).toEqual(shift);
  // Both routers go on learning: neither says it again.
  for (let i = 0; i < 30; i++) await judged('changed', 0.35);
  expect(await keptShifts()).toBe(1);
  expect(delivered).toHaveLength(1);
});

it('another org does not hear it', async () => {
  const other = await product.app('globex');
  const closed = new Promise<unknown>((resolve) => {
    other.subscribe('quality.model-shifted.v1.acme', { callback: (error) => resolve(error) });
  });
  expect(String(await closed)).toMatch(/permission/i);
});
