import { EXAMPLES, type UsageAttemptClosedV1, type UsageAttemptOpenedV1 } from '@meritorder/contracts';
import { connectDatabase, trialBalance, unsettledAttempts } from '@meritorder/ledger-store';
import { hostInboxPrefix, hostUser } from '@meritorder/messaging';
import { waitFor } from '@meritorder/testing';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Meritorder, type AnswerStream } from '@meritorder/client';
import { chat, startProduct, type Product } from './harness.js';

/** What the NATS user of the host gpu-2 tries on attempts of the host gpu-1, whose backend is `own`, and of the cloud. */
const forged = EXAMPLES.events['usage.attempt-closed.v1'] as UsageAttemptClosedV1;

let product: Product;
let client: Meritorder;
let thief: NatsConnection;
let operator: NatsConnection;
let database: DataSource;
let streams: Record<'own' | 'cloud', { answer: AnswerStream; attemptId: string; text: Promise<string> }>;
const refusals: string[] = [];
const deadLetters: string[] = [];

beforeAll(async () => {
  const behaviour = { outputTokensPerSecond: 10, wordsPerChunk: 1 };
  product = await startProduct({
    backends: [
      { id: 'cloud', behaviour },
      { id: 'own', kind: 'local', behaviour },
      { id: 'theirs', kind: 'local', config: { host: 'gpu-2' } },
    ],
  });
  const app = await product.app();
  client = Meritorder.over(app, 'acme');
  [operator, thief, database] = await Promise.all([
    product.stack.connectOperator(),
    connect({
      servers: product.stack.nats.url,
      ...product.stack.credentials(hostUser('gpu-2')),
      inboxPrefix: hostInboxPrefix('gpu-2'),
    }),
    connectDatabase(product.stack.database.url, 'hosts-apart-test', 1),
  ]);
  void (async () => {
    for await (const status of thief.status()) if (status.type === 'error') refusals.push(status.error.message);
  })();
  operator.subscribe('dead-letter.v1.*', {
    callback: (_e, m) => void deadLetters.push(m.headers!.get('Meritorder-Reason')),
  });
  await operator.flush();
  streams = { own: await streamOf('own'), cloud: await streamOf('cloud') };
});
afterAll(async () => {
  await Promise.all([thief?.close(), operator?.close(), database?.destroy()]);
  await product?.stop();
});

/** A stream that is on record as opened, and goes on for seconds. */
async function streamOf(model: 'own' | 'cloud') {
  const answer = client.stream(JSON.parse(chat('Write 60 words.', { model, max_tokens: 60 })));
  const text = answer.text();
  const attempts = () => database.query('select attempt_id from attempt where request_id = $1', [answer.requestId]);
  const [row] = await waitFor(async () => {
    const rows: { attempt_id: string }[] = await attempts();
    return rows.length > 0 ? rows : undefined;
  }, 'the attempt to be on record');
  return { answer, text, attemptId: row!.attempt_id };
}

/** As a worker publishes it, but for what is not its own. */
function publish(subject: string, event: Partial<UsageAttemptClosedV1>, id = 'forged'): void {
  const h = headers();
  h.set('ce-id', id);
  h.set('Nats-Msg-Id', id);
  h.set('ce-type', `${subject.split('.').slice(0, 2).join('.')}.v1`);
  thief.publish(subject, JSON.stringify({ ...forged, openedAt: forged.closedAt, windows: [], ...event }), {
    headers: h,
  });
}

describe("a host's worker may not publish", () => {
  it.each([
    ["another host's attempt as closed", 'usage.attempt-closed.v1.acme.gpu-1'],
    ['an attempt of the centre as closed', 'usage.attempt-closed.v1.acme'],
    ['an attempt as opened', 'usage.attempt-opened.v1.acme'],
    ['an attempt as opened, on its own subject', 'usage.attempt-opened.v1.acme.gpu-2'],
    ["another host's attempt as one that may go", 'attempt.go.v1.gpu-1.own.a1'],
    ['a larger hold', 'usage.attempt-extended.v1.acme'],
    ['a larger hold, on its own subject', 'usage.attempt-extended.v1.acme.gpu-2'],
  ])('%s', async (_what, subject) => {
    publish(subject, { attemptId: streams.own.attemptId, backend: 'own' });
    await waitFor(() => refusals.some((r) => r.includes(`"${subject}"`)), 'the refusal');
  });
});

describe('on its own subject', () => {
  const closing = 'usage.attempt-closed.v1.acme.gpu-2';
  it.each([
    ['own', 'own', 'host gpu-2 may not speak for own, which is of host gpu-1'],
    ['cloud', 'cloud', 'host gpu-2 may not speak for cloud, which is of no host'],
    ['own', 'theirs', 'of own as one of theirs'],
    ['cloud', 'theirs', 'of cloud as one of theirs'],
  ] as const)('it closes no attempt of %s in the name of %s', async (victim, backend, reason) => {
    const { attemptId } = streams[victim];
    const usage = { ...forged.usage!, inputTokens: 1, outputTokens: 0 };
    // Under the id that a worker might give the message: the true one must not be taken for its repetition.
    publish(closing, { attemptId, backend, usage }, `${attemptId}/closed`);
    publish(closing, { attemptId, backend, usage }, `${attemptId}/closed/${victim}-${backend}`);
    await waitFor(() => deadLetters.some((r) => r.includes(reason)), `"${reason}", not ${deadLetters.at(-1)}`);
    const rows = await database.query('select state from attempt where attempt_id = $1', [attemptId]);
    expect(rows).toEqual([{ state: 'opened' }]);
  });

  it('it closes no attempt that no router has opened', async () => {
    publish(closing, { attemptId: 'invented', backend: 'theirs' }, 'invented/closed');
    const reason = 'may not close attempt invented, which no router has opened';
    // It may come before its opening: that is waited for.
    await waitFor(() => deadLetters.some((r) => r.includes(reason)), {
      message: `"${reason}", not ${deadLetters.at(-1)}`,
      timeoutMs: 60_000,
    });
    expect(await database.query(`select 1 from attempt where attempt_id = 'invented'`)).toEqual([]);
  });
});

it('what the victims are answered is whole, its own attempts are booked, and the books equal the invoice', async () => {
  for (const { text } of Object.values(streams)) expect((await text).trim().split(/\s+/)).toHaveLength(60);
  const receipt = (await client.ask(JSON.parse(chat('Write 5 words.', { model: 'theirs' })))).meritorder;
  expect(receipt.backend).toBe('theirs');
  await waitFor(async () => (await unsettledAttempts(database)).length === 0, {
    message: 'every attempt booked',
    timeoutMs: 20_000,
  });
  const invoiced = product.simulator.invoice().lines;
  const [booked] = await database.query(
    `select count(*)::int as n, sum(cash_nanos)::text as nanos from attempt_settled where state = 'confirmed'`,
  );
  const total = invoiced.reduce((sum, line) => sum + BigInt(line.nanoUsd), 0n);
  expect(booked).toEqual({ n: invoiced.length, nanos: String(total) });
  expect((await trialBalance(database)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
});

it('an attempt of its own that is closed before it is on record as opened is booked once it is', async () => {
  const opened: UsageAttemptOpenedV1[] = [];
  const subject = 'usage.attempt-opened.v1.acme';
  operator.subscribe(subject, { callback: (_e, m) => void opened.push(m.json()) });
  await operator.flush();
  await client.ask(JSON.parse(chat('Write 5 words.', { model: 'theirs' })));
  const event = { ...(await waitFor(() => opened[0], 'a real one')), attemptId: 'early' };
  const closedAt = new Date().toISOString();
  publish('usage.attempt-closed.v1.acme.gpu-2', { ...event, closedAt }, 'early/closed');
  await thief.flush();
  await new Promise((r) => setTimeout(r, 1_500));
  const h = headers();
  h.set('ce-id', 'early/opened');
  h.set('Nats-Msg-Id', 'early/opened');
  h.set('ce-type', 'usage.attempt-opened.v1');
  operator.publish(subject, JSON.stringify(event), { headers: h });
  const states = () => database.query(`select state from attempt_settled where attempt_id = 'early'`);
  expect(await waitFor(async () => ((await states()).length > 0 ? states() : undefined), 'it to be booked')).toEqual([
    { state: 'confirmed' },
  ]);
  expect(deadLetters.filter((r) => r.includes('early'))).toEqual([]);
});
