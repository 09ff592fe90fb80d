import { headers, type Msg, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Counters } from '@meritorder/counters';
import { usdToNanos } from '@meritorder/kernel';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const PRICES = { input: '0', output: '1' };
const prices = [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '1' } },
];
const EMBEDDING_PRICES = { input: '1' };
const embeddings = {
  kinds: ['embeddings'],
  prices: [
    { effectiveFrom: '2025-01-01T00:00:00Z', cash: { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '0' } },
  ],
};
const total = (id: string, backend: string, limitUsd: string) => ({
  id,
  selector: { org: 'acme', backend },
  window: 'total',
  limitUsd,
});

let product: Product;
let app: NatsConnection;
let counters: Counters;
let database: Awaited<ReturnType<typeof connectDatabase>>;
const results: any[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'metered', behaviour: { prices: PRICES }, config: { prices } },
      { id: 'unmetered', behaviour: { prices: PRICES, omitUsage: 'always' }, config: { prices } },
      { id: 'embedder', behaviour: { kind: 'embedding', prices: EMBEDDING_PRICES }, config: embeddings },
      {
        id: 'embedder-unmetered',
        behaviour: { kind: 'embedding', prices: EMBEDDING_PRICES, omitUsage: 'always' },
        config: embeddings,
      },
      { id: 'gated', behaviour: { prices: PRICES }, config: { prices } },
      { id: 'broken', behaviour: { prices: PRICES, errorRate: 1 }, config: { prices } },
      { id: 'capped', behaviour: { prices: PRICES }, config: { prices } },
    ],
    config: {
      budgets: [
        total('metered', 'metered', '1'),
        total('unmetered', 'unmetered', '1'),
        total('embedder', 'embedder', '1'),
        total('embedder-unmetered', 'embedder-unmetered', '1'),
        total('gated', 'gated', '1'),
        // Ten requests of 100 output tokens at $1 per 1M.
        total('capped', 'capped', '0.001'),
      ],
    },
    instances: { router: 2 },
  });
  app = await product.app();
  app.subscribe('deliver.v1.acme.results', {
    callback: (_e, m) => {
      results.push(m.json());
      m.respond();
    },
  });
  counters = await Counters.connect(product.stack.redis.url);
  database = await connectDatabase(product.stack.database.url, 'once-test', 2);
});
afterAll(async () => {
  await counters?.close();
  await database?.destroy();
  await product?.stop();
});

describe('one settle path: whatever way a request comes and goes, it is charged once (pitfall 32)', () => {
  const CHAT_BACKENDS = ['metered', 'unmetered'];
  const words = JSON.parse(chat('Write 9 words.')) as Record<string, unknown>;
  const MODES: { mode: string; kind: string; backends: string[]; body: Record<string, unknown> }[] = [
    { mode: 'chat, whole', kind: 'chat', backends: CHAT_BACKENDS, body: words },
    { mode: 'chat, whole, two choices', kind: 'chat', backends: CHAT_BACKENDS, body: { ...words, n: 2 } },
    { mode: 'chat, streamed', kind: 'chat', backends: CHAT_BACKENDS, body: { ...words, stream: true } },
    {
      mode: 'chat, streamed with usage',
      kind: 'chat',
      backends: CHAT_BACKENDS,
      body: { ...words, stream: true, stream_options: { include_usage: true } },
    },
    { mode: 'messages, whole', kind: 'messages', backends: CHAT_BACKENDS, body: words },
    { mode: 'messages, streamed', kind: 'messages', backends: CHAT_BACKENDS, body: { ...words, stream: true } },
    {
      mode: 'embeddings',
      kind: 'embeddings',
      backends: ['embedder', 'embedder-unmetered'],
      body: { input: 'nine words' },
    },
  ];
  const cells = ['request', 'job'].flatMap((entrance) =>
    MODES.filter(({ body }) => entrance === 'request' || !body['stream']).flatMap(({ mode, kind, backends, body }) =>
      backends.map((backend) => [entrance, mode, backend, kind, body] as const),
    ),
  );

  it.each(cells)('%s, %s, backend %s', async (entrance, _mode, backend, kind, more) => {
    const before = await committed(backend);
    const calls = linesOf(backend).length;
    const body = JSON.stringify({ ...more, model: backend });
    const receipt = await (entrance === 'job' ? byJob(body, kind) : byRequest(body, kind));
    const nanos = usdToNanos(receipt.cost.usd);
    expect(nanos).toBeGreaterThan(0n);
    const [{ attempt_id }] = receipt.attempts;
    await waitFor(async () => (await bookingsOf(attempt_id)).length > 0, 'the attempt to be booked');
    const after = await waitFor(async () => {
      const now = await window(backend);
      return now?.reservedNanos === 0n && now;
    }, 'the hold to be settled');
    expect(after.settledNanos + after.unconfirmedNanos - before).toBe(nanos);
    expect(await bookingsOf(attempt_id)).toEqual([{ cash_nanos: String(nanos) }]);
    const lines = linesOf(backend).slice(calls);
    expect(lines).toHaveLength(1);
    if (backend.endsWith('unmetered')) expect(BigInt(lines[0]!.nanoUsd)).toBeLessThanOrEqual(nanos);
    else expect(BigInt(lines[0]!.nanoUsd)).toBe(nanos);
  });

  it.each([
    ['embeddings', { input: 'x', model: 'metered' }],
    ['chat', { ...words, model: 'embedder' }],
    ['messages', { ...words, model: 'embedder' }],
  ])('%s, asked of who does not serve it, is refused and charges nothing', async (kind, body) => {
    const calls = product.simulator.invoice().lines.length;
    expect(errorCode(await ask(app, JSON.stringify(body), { headers: ofKind(kind) }))).toBe('kind_unsupported');
    expect(product.simulator.invoice().lines).toHaveLength(calls);
  });
});

describe('the same idempotency key twice is one upstream call and one charge (pitfall 35)', () => {
  const keyed = (key: string, model: string, text = 'Write 5 words.'): string =>
    chat(text, { model, meritorder: { idempotency_key: key } });

  it('at once, through both routers', async () => {
    await gate(true);
    const answers: Msg[] = [];
    const asked = Array.from({ length: 20 }, () =>
      ask(app, keyed('at once', 'gated')).then((m) => void answers.push(m)),
    );
    await waitFor(() => answers.length === 19, 'the duplicates to be told');
    for (const told of answers) {
      expect(errorCode(told)).toBe('request_duplicate');
      expect(told.json<any>().error.details.state).toBe('in-flight');
    }
    await gate(false);
    await Promise.all(asked);
    const [receipt] = answers.filter((m) => errorCode(m) === '').map((m) => m.json<any>().meritorder);
    expect(answers[0]!.json<any>().error.details.first_request_id).toBe(receipt.request_id);
    expect(linesOf('gated')).toHaveLength(1);
    const settled = await waitFor(async () => {
      const now = await window('gated');
      return now?.reservedNanos === 0n && now.settledNanos;
    }, 'the one hold to be settled');
    expect(settled).toBe(usdToNanos(receipt.cost.usd));
  });

  it('and later; for another request the key is refused', async () => {
    const calls = linesOf('gated').length;
    await waitFor(async () => {
      const again = (await ask(app, keyed('at once', 'gated'))).json<any>();
      return again.error.code === 'request_duplicate' && again.error.details.state === 'answered';
    }, 'the answer to be noted');
    const other = await ask(app, keyed('at once', 'gated', 'Write 6 words.'));
    expect(errorCode(other)).toBe('idempotency_key_reused');
    expect(linesOf('gated')).toHaveLength(calls);
  });

  it('an error frees the key before it is told', async () => {
    const key = 'error';
    for (let i = 0; i < 3; i++)
      expect(errorCode(await ask(app, keyed(key, 'broken')))).toMatch(/^backend_(failed|unavailable)$/);
  });
});

it('while metering is stopped caps hold, and the lag is seen to rise (pitfall 34)', async () => {
  const [metering] = product.stack.of('metering');
  metering!.child.kill('SIGKILL');
  await metering!.ended;
  const codes = await Promise.all(
    Array.from({ length: 40 }, () => ask(app, chat('Write 100 words.', { model: 'capped' })).then(errorCode)),
  );
  expect(codes.filter((code) => code === '')).toHaveLength(10);
  expect(linesOf('capped')).toHaveLength(10);
  expect(errorCode(await ask(app, chat('x', { model: 'capped' })))).toMatch(/^budget_/);
  await waitFor(async () => (await unbooked()) >= 10, 'the lag to rise', 20_000);
  await product.stack.startService('metering', metering!.index);
  await waitFor(async () => (await unbooked()) === 0, 'the lag to be gone', 40_000);
  const settled = await waitFor(async () => {
    const now = await window('capped');
    return now?.reservedNanos === 0n && now;
  }, 'all to be settled');
  expect(settled).toMatchObject({ settledNanos: 1_000_000n, unconfirmedNanos: 0n, peakNanos: 1_000_000n });
});

function ofKind(kind: string): MsgHdrs {
  const h = headers();
  h.set('Meritorder-Kind', kind);
  return h;
}

async function byRequest(body: string, kind: string): Promise<any> {
  const inbox = `_INBOX_acme.once${Math.random().toString(36).slice(2)}`;
  const subscription = app.subscribe(inbox);
  app.publish('inference.request.v1.acme', body, { reply: inbox, headers: ofKind(kind) });
  for await (const m of subscription) {
    if (m.reply) m.respond();
    const receipt = m.json<any>().meritorder;
    if (receipt) {
      subscription.unsubscribe();
      return receipt;
    }
    expect(errorCode(m)).toBe('');
  }
  throw new Error('no receipt came');
}

async function byJob(body: string, kind: string): Promise<any> {
  const accepted = await app.request('inference.job.v1.acme', body, { timeout: 5_000, headers: ofKind(kind) });
  const { request_id } = accepted.json<any>();
  const result = await waitFor(() => results.find((r) => r.requestId === request_id), 'the result of the job');
  return result.body.meritorder;
}

async function window(budget: string) {
  return (await counters.inspectWindows()).find((w) => w.budget === budget);
}

async function committed(budget: string): Promise<bigint> {
  const now = await window(budget);
  return now ? now.settledNanos + now.unconfirmedNanos : 0n;
}

function linesOf(model: string): any[] {
  return product.simulator.invoice().lines.filter((line: any) => line.model === model);
}

function bookingsOf(attemptId: string): Promise<{ cash_nanos: string }[]> {
  return database.query(`select cash_nanos from attempt_settled where attempt_id = $1`, [attemptId]);
}

async function unbooked(): Promise<number> {
  const [policy] = product.stack.of('budget-policy');
  const text = await (await fetch(`http://127.0.0.1:${policy!.healthPort}/metrics`)).text();
  return Number(/^meritorder_usage_unbooked(?:\{.*\})? (\d+)/m.exec(text)?.[1] ?? Number.NaN);
}

async function gate(closed: boolean): Promise<void> {
  await fetch(`${product.simulator.url}/control/gate`, {
    method: 'POST',
    body: JSON.stringify({ model: 'gated', closed }),
  });
}
