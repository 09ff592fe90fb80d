import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Meritorder, type ChatBody } from '@meritorder/client';
import { STREAMS } from '@meritorder/contracts';
import { connectDatabase } from '@meritorder/ledger-store';
import { usdToNanos } from '@meritorder/kernel';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startProduct, type Product } from './harness.js';

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let database: Awaited<ReturnType<typeof connectDatabase>>;
let client: Meritorder;
/** As the durable subscriber is delivered them. */
const results: any[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [{ id: 'plain' }],
    instances: { router: 2 },
    config: { orgs: [{ id: 'acme' }], tiers: [{ id: 'gold', charge: { markup: '1.5', usdPerRequest: '0.01' } }] },
  });
  [app, operator] = await Promise.all([product.app(), product.stack.connectOperator()]);
  database = await connectDatabase(product.stack.database.url, 'job-again-test', 1);
  client = Meritorder.over(app, 'acme');
  client.subscribe('results', (event) => void results.push(event.data));
});
afterAll(async () => {
  await database?.destroy();
  await operator?.close();
  await product?.stop();
});

const report = (words: number): Promise<{ requestId: string; duplicate: boolean }> =>
  client.job(
    {
      model: 'plain',
      messages: [{ role: 'user', content: `Write ${words} words.` }],
      max_tokens: 50,
      metadata: { tier: 'gold', customer: 'initech' },
    } as ChatBody,
    'daily-report',
  );
const charges = (): Promise<{ nanos: string }[]> =>
  database.query(`select charged_nanos::text as nanos from attempt_settled where charged_nanos > 0 order by 1`);
const chargedTo = ({ body }: any): string => usdToNanos(body.meritorder.cost.charged_usd).toString();

it('one id is one job as long as its result is kept; then another, which is run and charged anew, as its receipt says', async () => {
  const first = await report(3);
  expect(first.duplicate).toBe(false);
  await waitFor(() => results.length === 1, 'the first result');
  await waitFor(async () => (await charges()).length === 1, 'its charge');

  // What the ten minutes of the queue do not know any more, the id does.
  const manager = await jetstreamManager(operator);
  for (const { name } of [STREAMS.jobs, STREAMS.events]) {
    const { config } = await manager.streams.info(name);
    await manager.streams.update(name, { ...config, duplicate_window: 100_000_000 });
  }
  await waitFor(async () => {
    expect(await report(3)).toEqual({ requestId: first.requestId, duplicate: true });
    return results.length > 1;
  }, 'the result of the day before to be told again');
  for (const again of results) expect(again).toEqual(results[0]);
  await expect(report(20)).rejects.toMatchObject({ code: 'idempotency_key_reused' });

  // Seven days later: the results are gone.
  await manager.streams.purge(STREAMS.events.name);
  results.length = 0;
  expect(await report(20)).toEqual({ requestId: first.requestId, duplicate: false });
  await waitFor(() => results.length === 1, 'the result of the other job');
  expect(results[0].body.choices[0].message.content.split(' ')).toHaveLength(20);
  const booked = await waitFor(async () => {
    const all = await charges();
    return all.length === 2 && all;
  }, 'both to be charged');
  expect(booked[1]!.nanos).toBe(chargedTo(results[0]));
  expect(await report(20)).toEqual({ requestId: first.requestId, duplicate: true });
  expect(product.simulator.control.stats().models['plain']!.completed).toBe(2);
  expect(await charges()).toHaveLength(2);
});
