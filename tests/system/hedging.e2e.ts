import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInvoice } from '@meritorder/cli';
import { Counters } from '@meritorder/counters';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { booksAsInvoice, countersAsBooks } from './books.js';
import { chat, startProduct, type Product } from './harness.js';

const price = (usd: string) => [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash: { inputUsdPerMillionTokens: usd, outputUsdPerMillionTokens: usd } },
];
const backend = (id: string, usd: string, more: object = {}, config: object = {}) => ({
  id,
  behaviour: { prices: { input: usd, output: usd }, outputTokensPerSecond: 400, wordsPerChunk: 4 },
  config: { prices: price(usd), maxConcurrency: 64, ...config },
  ...more,
});
const eager = { requestShare: 0.5, usdPerHour: '1000', afterSeconds: 0.5 };
/** Of the run under load. */
const SHARE = 0.1;

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let counters: Counters;
let database: Awaited<ReturnType<typeof connectDatabase>>;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      backend('cheap', '1'),
      // Of another process, under another user; it has an invoice here, so nothing of it is booked by estimate.
      backend('dear', '2', { kind: 'local' }, { withoutUsage: 'bound' }),
      backend('varying', '1'),
      backend('steady', '2'),
    ],
    config: {
      routes: [
        { id: 'auto', backends: ['cheap', 'dear'], exploration: false, hedging: eager },
        { id: 'plain', backends: ['varying', 'steady'], exploration: false },
        {
          id: 'quick',
          backends: ['varying', 'steady'],
          exploration: false,
          hedging: { requestShare: SHARE, usdPerHour: '1000', afterShare: 0.9 },
        },
      ],
      budgets: [
        { id: 'org', selector: { org: 'acme' }, window: 'total', limitUsd: '100' },
        { id: 'tight', selector: { org: 'acme', feature: 'tight' }, window: 'total', limitUsd: '0.00035' },
      ],
      limits: { requestDeadlineMs: 30_000, unconfirmedGraceMs: 1_000 },
    },
    instances: { router: 2, 'provider-worker': 2 },
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
  counters = await Counters.connect(product.stack.redis.url);
  database = await connectDatabase(product.stack.database.url, 'hedging-test', 2);
  // Each router must have heard of the engine behind it.
  let known = 0;
  await waitFor(async () => {
    known = statusOf(await send(chat('Write 1 words.', { model: 'dear' })).answer) === 'ok' ? known + 1 : 0;
    return known >= 12;
  }, 'the local backend to be there');
});
afterAll(async () => {
  await counters?.close();
  await database?.destroy();
  await operator?.close();
  await product?.stop();
});

const gate = (model: string, closed: boolean) => product.simulator.control.gate(model, closed);
const held = (model: string): number => product.simulator.control.stats().models[model]!.held;

interface Answer {
  requestId: string;
  messages: Msg[];
  last: Msg;
  receipt: any;
  firstTokenMs: number;
}

/** Sends a request, and hears its inbox until it has ended and a while after. */
function send(body: string): { requestId: string; answer: Promise<Answer>; messages: Msg[] } {
  const requestId = `hedging-${Math.random().toString(36).slice(2)}`;
  const inbox = `_INBOX_acme.${requestId}`;
  const messages: Msg[] = [];
  const sentMs = performance.now();
  let firstTokenMs = 0;
  const answer = new Promise<Answer>((resolve) => {
    app.subscribe(inbox, {
      callback: (_error, m) => {
        firstTokenMs ||= performance.now() - sentMs;
        messages.push(m);
        if (m.reply) m.respond();
        const isLast = m.headers?.has('Meritorder-Status');
        if (isLast) resolve({ requestId, messages, last: m, receipt: m.json<any>().meritorder, firstTokenMs });
      },
    });
  });
  const h = headersOf(requestId);
  app.publish('inference.request.v1.acme', body, { reply: inbox, headers: h });
  return { requestId, answer, messages };
}

interface Row {
  attemptId: string;
  backend: string;
  state: string;
  outcome: string | null;
  code: string | null;
  hedgeOf: string | null;
}
const attemptsOf = (requestId: string): Promise<Row[]> =>
  database.query(
    `select attempt_id as "attemptId", backend, state, outcome, code, terms ->> 'hedgeOf' as "hedgeOf" from attempt
     where request_id = $1 order by reserved_at`,
    [requestId],
  );
const booked = (requestId: string, count: number): Promise<Row[]> =>
  waitFor(async () => {
    const rows = await attemptsOf(requestId);
    return rows.length >= count && rows.every((r) => r.state !== 'opened') ? rows : undefined;
  }, `${count} attempts of ${requestId} to be booked`);
const statusOf = ({ last }: Answer): string => last.headers!.get('Meritorder-Status');

/** All that reached the caller is of one attempt, without a gap, and ends once. */
function expectOneVoice({ messages, last }: Answer): string {
  const ids = new Set(messages.map((m) => m.headers!.get('Meritorder-Attempt')).filter(Boolean));
  expect(ids.size).toBeLessThanOrEqual(1);
  expect(messages.at(-1)).toBe(last);
  if (messages.length > 1)
    expect(messages.map((m) => Number(m.headers!.get('Meritorder-Seq')))).toEqual(messages.map((_, i) => i));
  return [...ids][0] ?? '';
}

/** Every second request earns a hedge in its router: with two routers, so many earn one in each. */
async function earnHedges(): Promise<void> {
  const all = await Promise.all(Array.from({ length: 24 }, () => send(chat('Write 1 words.')).answer));
  expect(all.every((a) => statusOf(a) === 'ok')).toBe(true);
}

describe('a request whose backend shows no token in time', () => {
  it.each([true, false])(
    'is answered by another one, once, and both attempts are booked (streamed: %s)',
    async (stream) => {
      await earnHedges();
      gate('cheap', true);
      const answer = await send(chat('Write 40 words.', { stream })).answer;
      gate('cheap', false);
      const rows = await booked(answer.requestId, 2);
      expect(rows).toMatchObject([
        { backend: 'cheap', outcome: 'cancelled', code: 'hedge-lost', hedgeOf: null },
        { backend: 'dear', outcome: 'finished', code: null, hedgeOf: rows[0]!.attemptId },
      ]);
      expect([statusOf(answer), expectOneVoice(answer)]).toEqual(['ok', rows[1]!.attemptId]);
      expect(answer.receipt).toMatchObject({
        backend: 'dear',
        attempts: [
          { attempt_id: rows[0]!.attemptId, outcome: 'cancelled', code: 'hedge-lost' },
          { attempt_id: rows[1]!.attemptId, outcome: 'finished' },
        ],
        reason: expect.stringMatching(/^hedge, for cheap had shown no token in time; dear: /),
      });
    },
  );

  it('answers itself where its hedge is slower still, and lists it', async () => {
    await earnHedges();
    gate('*', true);
    const { requestId, answer } = send(chat('Write 40 words.', { stream: true }));
    await waitFor(() => held('cheap') === 1 && held('dear') === 1, 'both to be called');
    gate('cheap', false);
    const first = await answer;
    const rows = await booked(requestId, 2);
    gate('*', false);
    expect(rows).toMatchObject([
      { backend: 'cheap', outcome: 'finished' },
      { backend: 'dear', outcome: 'cancelled', code: 'hedge-lost' },
    ]);
    expect([statusOf(first), expectOneVoice(first)]).toEqual(['ok', rows[0]!.attemptId]);
    expect(first.receipt.attempts.map((a: any) => [a.backend, a.outcome])).toEqual([
      ['dear', 'cancelled'],
      ['cheap', 'finished'],
    ]);
  });

  it('has one voice when both begin at about the same time', async () => {
    const asked = 24;
    for (let i = 0; i < 4; i++) await earnHedges();
    for (const model of ['cheap', 'dear'])
      product.simulator.control.faults(model, { firstTokenMs: 10, latencyJitter: 1 });
    gate('*', true);
    const sent = Array.from({ length: asked }, () => send(chat('Write 60 words.', { stream: true })));
    await waitFor(() => held('cheap') === asked && held('dear') >= 8, 'several hedges to be called');
    gate('*', false);
    const answers = await Promise.all(sent.map(({ answer }) => answer));
    for (const model of ['cheap', 'dear'])
      product.simulator.control.faults(model, { firstTokenMs: 0, latencyJitter: 0 });
    const receipts = answers.map((a) => a.receipt);
    report('both begin at about the same time', {
      requests: asked,
      hedged: receipts.filter((r) => r.attempts.length > 1).length,
      wonByHedge: receipts.filter((r) => r.backend === 'dear').length,
    });
    for (const answer of answers) {
      expect([statusOf(answer), expectOneVoice(answer)]).toEqual(['ok', answer.receipt.attempts.at(-1).attempt_id]);
      const rows = await booked(answer.requestId, answer.receipt.attempts.length);
      expect(rows.filter((r) => r.outcome === 'finished')).toHaveLength(1);
      expect(rows.filter((r) => r.outcome !== 'finished').every((r) => r.code === 'hedge-lost')).toBe(true);
    }
  });

  it('and whose first attempt has worked on its answer loses it all the same: what it cost is waste', async () => {
    await earnHedges();
    product.simulator.control.faults('cheap', { outputTokensPerSecond: 40 });
    const answer = await send(chat('Write 90 words.')).answer;
    product.simulator.control.faults('cheap', { outputTokensPerSecond: 400 });
    const rows = await booked(answer.requestId, 2);
    expect(rows[0]).toMatchObject({ backend: 'cheap', code: 'hedge-lost', state: 'unconfirmed' });
    expect(answer.receipt.backend).toBe('dear');
    const line = await waitFor(async () => {
      const { lines } = await readInvoice(`${product.simulator.url}/invoice`);
      return lines.find((l) => l.clientRequestId === rows[0]!.attemptId);
    }, 'the provider to bill what was generated');
    expect(Number(line!.nanoUsd)).toBeGreaterThan(0);
  });

  it('ends with the hedge when its router is killed meanwhile', async () => {
    await earnHedges();
    gate('*', true);
    const { requestId, answer } = send(chat('Write 40 words.', { stream: true }));
    await waitFor(() => held('cheap') === 1 && held('dear') === 1, 'both to be called');
    const killed = product.stack.of('router').map(({ child, index }) => (child.kill('SIGKILL'), index));
    gate('dear', false);
    const told = await answer;
    gate('*', false);
    for (const index of killed) await product.stack.startService('router', index);
    const rows = await booked(requestId, 2);
    expect([statusOf(told), expectOneVoice(told)]).toEqual(['ok', rows[1]!.attemptId]);
    expect(rows).toMatchObject([{ code: 'hedge-lost' }, { outcome: 'finished' }]);
  });

  it('is cancelled with its hedge: the caller hears of it once', async () => {
    await earnHedges();
    gate('*', true);
    const { requestId, answer } = send(chat('Write 40 words.', { stream: true }));
    await waitFor(() => held('cheap') === 1 && held('dear') === 1, 'both to be called');
    app.publish(`inference.cancel.v1.acme.${requestId}`);
    const told = await answer;
    const rows = await booked(requestId, 2);
    gate('*', false);
    expect(statusOf(told)).toBe('cancelled');
    expect(told.messages).toHaveLength(1);
    expect(rows.map((r) => r.outcome)).toEqual(['cancelled', 'cancelled']);
  });

  it('gets no hedge where a budget has no room for both', async () => {
    for (let i = 0; i < 2; i++) await earnHedges();
    gate('*', true);
    const tight = send(chat('Write 20 words.', { stream: true, metadata: { feature: 'tight' } }));
    await waitFor(() => held('cheap') === 1, 'it to be called');
    // Whose hedge is sent after that one's would have been.
    const others = Array.from({ length: 4 }, () => send(chat('Write 20 words.', { stream: true })));
    await waitFor(() => held('cheap') === 5 && held('dear') === 4, 'all others to be hedged');
    gate('*', false);
    expect((await tight.answer).receipt.attempts).toMatchObject([{ backend: 'cheap', outcome: 'finished' }]);
    expect(await booked(tight.requestId, 1)).toHaveLength(1);
    for (const { requestId } of others) expect(await booked(requestId, 2)).toHaveLength(2);
  });
});

describe('under load', () => {
  const requests = 600;
  const concurrency = 32;

  it('at most the configured share is hedged, every request has one answer, and slow first tokens come sooner', async () => {
    product.simulator.control.faults('varying', { firstTokenMs: 200, latencyJitter: 1, outputTokensPerSecond: 0 });
    product.simulator.control.faults('steady', { firstTokenMs: 100, outputTokensPerSecond: 0 });
    // What is learned of first tokens here is what the hedges go by.
    const without = await run('plain');
    const hedging = await run('quick');
    const receipts = hedging.map((a) => a.receipt);
    const hedged = receipts.filter((r) => r.attempts.length > 1);
    report(
      `${requests} requests at ${concurrency} in flight, first tokens log-normal with mean 200 ms and deviation 1`,
      {
        configuredShare: SHARE,
        hedgedShare: hedged.length / requests,
        wonByHedge: hedged.filter((r) => r.backend === 'steady').length,
        withoutMs: quantiles(without),
        withMs: quantiles(hedging),
      },
    );
    for (const answer of [...without, ...hedging]) {
      expect(statusOf(answer)).toBe('ok');
      expectOneVoice(answer);
    }
    expect(without.every((a) => a.receipt.attempts.length === 1)).toBe(true);
    expect(hedged.length).toBeGreaterThan(0);
    expect(hedged.length).toBeLessThanOrEqual(SHARE * requests);
    const sent = await database.query(
      `select count(*)::int as n from attempt where terms ->> 'hedgeOf' is not null and backend = 'steady'`,
    );
    expect(sent[0].n).toBeLessThanOrEqual(SHARE * requests);
    expect(sent[0].n).toBeGreaterThanOrEqual(hedged.length);
    const started = await Promise.all(product.stack.of('router').map(({ healthPort }) => hedgesCounted(healthPort)));
    expect(started.reduce((a, b) => a + b, 0)).toBe(sent[0].n);
  });

  async function run(model: string): Promise<Answer[]> {
    const answers: Answer[] = [];
    let left = requests;
    const one = async (): Promise<void> => {
      while (left-- > 0) answers.push(await send(chat('Write 10 words.', { stream: true, model })).answer);
    };
    await Promise.all(Array.from({ length: concurrency }, one));
    return answers;
  }
});

it('the books equal the invoice, and the counters the books: both attempts of every request', async () => {
  const imported = await booksAsInvoice({ product, operator, database });
  expect(imported.aboveBound).toEqual([]);
  const [waste] = await database.query(
    `select count(*)::int as attempts, sum(s.cash_nanos)::text as nanos from attempt a join attempt_settled s using (attempt_id)
     where a.code = 'hedge-lost'`,
  );
  report('hedges that lost, and first attempts that lost to one', waste);
  expect(BigInt(waste.nanos)).toBeGreaterThan(0n);
  const [{ twice }] = await database.query(
    `select count(*)::int as twice from (select 1 from attempt where outcome = 'finished' group by request_id having count(*) > 1) r`,
  );
  expect(twice).toBe(0);
  await countersAsBooks(counters, database);
});

function report(what: string, figures: object): void {
  console.log(`${what}: ${JSON.stringify(figures)}`);
}

function quantiles(answers: readonly Answer[]): Record<string, number> {
  const sorted = answers.map((a) => a.firstTokenMs).sort((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1]!);
  return { p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) };
}

async function hedgesCounted(healthPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text();
  const lines = text
    .split('\n')
    .filter((l) => l.startsWith('meritorder_hedges') && /"started"/.test(l) && /"quick"/.test(l));
  return lines.reduce((sum, l) => sum + Number(l.split(' ')[1]), 0);
}

function headersOf(requestId: string): Msg['headers'] {
  const h = headers();
  h.set('Meritorder-Request', requestId);
  return h;
}
