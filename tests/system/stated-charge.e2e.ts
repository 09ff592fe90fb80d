import { nanosToUsd } from '@meritorder/kernel';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { createInbox, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { booksAsInvoice, hearRated } from './books.js';
import { ask, chat, startProduct, type Product } from './harness.js';

/** Four times what the simulated provider takes: what a call may cost at most. */
const CEILING = [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: '4', outputUsdPerMillionTokens: '8' },
  },
];
let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let database: Awaited<ReturnType<typeof connectDatabase>>;
let rated: Map<string, any>;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'stating', behaviour: { statesCost: true }, config: { provider: 'openrouter', prices: CEILING } },
      { id: 'rated', behaviour: { statesCost: true } },
      {
        id: 'dearer',
        behaviour: { statesCost: true, prices: { input: '40', output: '80' } },
        config: { provider: 'openrouter', prices: CEILING },
      },
    ],
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
  rated = await hearRated(operator, 'acme');
  database = await connectDatabase(product.stack.database.url, 'stated-charge-test', 2);
});
afterAll(async () => {
  await database?.destroy();
  await operator?.close();
  await product?.stop();
});

it('what OpenRouter says that a call was charged is what the receipt says and the books have; others are rated', async () => {
  const whole = (await ask(app, chat('Write 20 words.', { model: 'stating' }))).json<any>();
  const streamed = await receiptOfStream(chat('Write 30 words.', { model: 'stating', stream: true }));
  const own = (await ask(app, chat('Write 20 words.', { model: 'rated' }))).json<any>();
  for (const receipt of [whole.meritorder, streamed]) {
    const stated = BigInt(receipt.usage.statedPicos) / 1_000n;
    expect(stated).toBeGreaterThan(0n);
    expect(receipt.cost).toMatchObject({ usd: nanosToUsd(stated), full_usd: nanosToUsd(stated), basis: 'confirmed' });
    const id = receipt.attempts.at(-1).attempt_id;
    const event = await waitFor(() => rated.get(id), 'it to be rated');
    expect(event).toMatchObject({ state: 'confirmed', cost: { cashNanos: String(stated) } });
    // A quarter of the ceiling.
    const { inputTokens, outputTokens } = event.usage;
    expect(stated).toBe(BigInt(inputTokens * 1_000 + outputTokens * 2_000));
  }
  expect(own.meritorder.usage.statedPicos).toBeUndefined();
  // More than the configured prices, and more than was held: it is what was charged.
  const dearer = (await ask(app, chat('Write 90 words.', { model: 'dearer', max_tokens: 90 }))).json<any>().meritorder;
  const above = await waitFor(() => rated.get(dearer.attempts.at(-1).attempt_id), 'it to be rated');
  expect(BigInt(above.cost.cashNanos)).toBeGreaterThan(BigInt(above.bound.cashNanos));
  expect(dearer.cost.usd).toBe(nanosToUsd(BigInt(above.cost.cashNanos)));
  expect(await chargedAboveBound()).toEqual(['dearer 1']);
  await booksAsInvoice({ product, operator, database }, { stating: 'openrouter', dearer: 'openrouter' });
});

async function chargedAboveBound(): Promise<string[]> {
  const [metering] = product.stack.of('metering');
  const text = await (await fetch(`http://127.0.0.1:${metering!.healthPort}/metrics`)).text();
  return [...text.matchAll(/^meritorder_attempts_above_bound\w*\{.*backend="(\w+)".*\} (\d+)/gm)].map(
    ([, backend, count]) => `${backend} ${count}`,
  );
}

async function receiptOfStream(body: string): Promise<any> {
  const inbox = createInbox('_INBOX_acme');
  const subscription = app.subscribe(inbox);
  app.publish('inference.request.v1.acme', body, { reply: inbox });
  for await (const message of subscription) {
    if (message.reply) message.respond();
    if (message.headers?.get('Meritorder-Status') === 'ok') return message.json<any>().meritorder;
  }
}
