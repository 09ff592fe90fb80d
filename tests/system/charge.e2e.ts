import { Meritorder, type Receipt } from '@meritorder/client';
import { importInvoice, readInvoice } from '@meritorder/cli';
import { MeteringUsageRatedV1 } from '@meritorder/contracts';
import { nanosToUsd, usdToNanos } from '@meritorder/kernel';
import { connectDatabase, trialBalance } from '@meritorder/ledger-store';
import { chargeNanos } from '@meritorder/margin-core';
import { waitFor } from '@meritorder/testing';
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProduct, type Product } from './harness.js';

// Neither the markup nor the price of a token gives whole nano-dollars.
const GOLD = { markup: '1.234567', usdPerRequest: '0.000123' };
const prices = [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: '0.3371', outputUsdPerMillionTokens: '1.7719' },
  },
];

let product: Product;
let client: Meritorder;
let operator: NatsConnection;
let db: DataSource;
const closed: Msg[] = [];
const rated: MeteringUsageRatedV1[] = [];

beforeAll(async () => {
  const billed = { prices: { input: '0.3371', output: '1.7719' } };
  product = await startProduct({
    backends: [
      { id: 'plain', behaviour: billed, config: { prices } },
      { id: 'losing', behaviour: { ...billed, cutAnswerRate: 1 }, config: { prices, quality: { prior: 0.9 } } },
      { id: 'cutting', behaviour: { ...billed, cutStreamRate: 1 }, config: { prices } },
      { id: 'slow', behaviour: { ...billed, outputTokensPerSecond: 40, wordsPerChunk: 1 }, config: { prices } },
    ],
    config: {
      orgs: [{ id: 'acme' }],
      routes: [
        { id: 'auto', backends: ['plain'] },
        {
          id: 'unlucky',
          backends: ['losing', 'plain'],
          objective: 'quality',
          usdPerQualityPoint: '1',
          exploration: false,
        },
      ],
      tiers: [{ id: 'gold', charge: GOLD }, { id: 'internal' }],
    },
  });
  client = Meritorder.over(await product.app(), 'acme');
  operator = await product.stack.connectOperator();
  operator.subscribe('usage.attempt-closed.v1.acme', { callback: (_error, message) => void closed.push(message) });
  operator.subscribe('metering.usage-rated.v1.acme', {
    callback: (_error, message) => void rated.push(MeteringUsageRatedV1.parse(message.json())),
  });
  await operator.flush();
  db = await connectDatabase(product.stack.database.url, 'test', 2);
});
afterAll(async () => {
  await db?.destroy();
  await product?.stop();
});

const say = (text: string, model = 'auto', tier = 'gold') => ({
  model,
  messages: [{ role: 'user' as const, content: text }],
  max_tokens: 100,
  metadata: { tier, customer: 'initech' },
});
const ruled = (fullUsd: string): string => nanosToUsd(chargeNanos(GOLD, usdToNanos(fullUsd)));

/** What the guard row, the customer's accounts and the last event say of an attempt. */
async function chargedOf(
  attemptId: string,
): Promise<{ guard: string | null; ledger: string; event: string | undefined }> {
  const [row]: { guard: string | null; ledger: string }[] = await db.query(
    `select s.charged_nanos::text as guard,
       (select coalesce(sum(case when debit_account like '%receivable:%' then amount_nanos else -amount_nanos end), 0)::text
        from ledger_entry e where e.attempt_id = s.attempt_id
          and (debit_account like '%receivable:acme:initech' or credit_account like '%receivable:acme:initech')) as ledger
     from attempt_settled s where s.attempt_id = $1`,
    [attemptId],
  );
  return { ...row!, event: rated.findLast((r) => r.attemptId === attemptId)?.chargedNanos };
}
const everywhere = (usd: string) => {
  const nanos = usdToNanos(usd).toString();
  return { guard: nanos, ledger: nanos, event: nanos };
};
const ratedOf = (attemptId: string, revision = 1) =>
  waitFor(() => rated.find((r) => r.attemptId === attemptId && r.revision >= revision), {
    message: `attempt ${attemptId} to be rated`,
    timeoutMs: 10_000,
  });

async function expectEqual(receipt: Receipt): Promise<void> {
  const { cost, attempts } = receipt;
  expect(cost.charged_usd).toBe(ruled(cost.full_usd));
  const { attempt_id: id } = attempts.at(-1)!;
  await ratedOf(id);
  expect(await chargedOf(id)).toEqual(everywhere(cost.charged_usd!));
}

describe('what a customer is charged is the same in the receipt, the rated usage and the ledger', () => {
  it('for an answer, a stream and a job', async () => {
    await expectEqual((await client.ask(say('What is a merit order?'))).meritorder);
    const stream = client.stream(say('Tell me more.'));
    await stream.text();
    await expectEqual(stream.receipt);
    const { requestId } = await client.job(say('Later.'), 'job-1');
    const { attemptId } = await waitFor(() => rated.find((r) => r.requestId === requestId), {
      message: 'the job to be rated',
      timeoutMs: 10_000,
    });
    const { fullNanos } = rated.find((r) => r.attemptId === attemptId)!.cost;
    expect(await chargedOf(attemptId)).toEqual(everywhere(ruled(nanosToUsd(BigInt(fullNanos)))));
  });

  it('once for a request whose first attempt was lost after it had cost money', async () => {
    const asked = await client.ask(say('Try again.', 'unlucky'));
    const [lost, answered] = asked.meritorder.attempts;
    expect([lost?.backend, answered?.backend]).toEqual(['losing', 'plain']);
    await expectEqual(asked.meritorder);
    expect((await ratedOf(lost!.attempt_id)).state).toBe('unconfirmed');
    expect(await chargedOf(lost!.attempt_id)).toEqual(everywhere('0'));
  });

  it('and nothing for a stream that broke', async () => {
    await expect(client.stream(say('A long story.', 'cutting')).text()).rejects.toMatchObject({ code: 'stream_cut' });
    const broken = await waitFor(() => rated.find((r) => r.backend === 'cutting'), {
      message: 'the stream to be rated',
      timeoutMs: 10_000,
    });
    expect(broken.state).toBe('unconfirmed');
    expect(await chargedOf(broken.attemptId)).toEqual(everywhere('0'));
  });

  it('and is nowhere where the tier has no charge', async () => {
    const { meritorder } = await client.ask(say('For us.', 'auto', 'internal'));
    expect(meritorder.cost).not.toHaveProperty('charged_usd');
    const { attempt_id: id } = meritorder.attempts[0]!;
    expect(await ratedOf(id)).not.toHaveProperty('chargedNanos');
    expect(await chargedOf(id)).toEqual({ guard: null, ledger: '0', event: undefined });
  });
});

it('who cancels is charged for what came: at the bound until the invoice, then by it', async () => {
  const stream = client.stream(say('Write 100 words.', 'slow'));
  let chunks = 0;
  for await (const _chunk of stream) if (++chunks === 5) break;
  const { attemptId, state, cost } = await waitFor(() => rated.find((r) => r.backend === 'slow'), {
    message: 'the cancelled stream to be rated',
    timeoutMs: 10_000,
  });
  expect(state).toBe('unconfirmed');
  const atBound = ruled(nanosToUsd(BigInt(cost.fullNanos)));
  expect(await chargedOf(attemptId)).toEqual(everywhere(atBound));

  const invoice = await readInvoice(`${product.simulator.url}/invoice`);
  await importInvoice(operator, 'simco', { ...invoice, to: new Date().toISOString() });
  const confirmed = await ratedOf(attemptId, 2);
  expect(confirmed.state).toBe('confirmed');
  const byInvoice = ruled(nanosToUsd(BigInt(confirmed.cost.fullNanos)));
  expect(usdToNanos(byInvoice)).toBeLessThan(usdToNanos(atBound));
  expect(await chargedOf(attemptId)).toEqual(everywhere(byInvoice));
  expect(confirmed.chargedChangeNanos).toBe((usdToNanos(byInvoice) - usdToNanos(atBound)).toString());
});

it('every closing again, under new ids, changes nothing of what anybody is charged', async () => {
  const books = async () => ({
    balances: await trialBalance(db),
    guards: await db.query(`select attempt_id, revision, charged_nanos from attempt_settled order by 1`),
    claims: await db.query(`select * from charge_claim order by claim`),
  });
  const before = await books();
  expect(before.balances.reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
  // Three answers, the one after a failover, and the cancelled one.
  expect(before.claims).toHaveLength(5);
  const again = [...closed];
  for (const [i, message] of again.entries()) {
    const h = headers();
    for (const key of message.headers!.keys()) h.set(key, message.headers!.get(key));
    h.set('Nats-Msg-Id', `again-${i}`);
    h.set('ce-id', `again-${i}`);
    await operator.request(message.subject, message.data, { headers: h, timeout: 5_000 });
  }
  // Booked after all of these.
  const { meritorder } = await client.ask(say('And now?', 'auto', 'internal'));
  await ratedOf(meritorder.attempts[0]!.attempt_id);
  const after = await books();
  const old = new Set(before.guards.map((g: { attempt_id: string }) => g.attempt_id));
  expect(after.guards.filter((g: { attempt_id: string }) => old.has(g.attempt_id))).toEqual(before.guards);
  expect(after.claims).toEqual(before.claims);
  const charged = ({ account }: { account: string }): boolean => /receivable:|revenue:/.test(account);
  expect(after.balances.filter(charged)).toEqual(before.balances.filter(charged));
});
