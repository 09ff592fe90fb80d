import { connect as connectClassic, JSONCodec } from 'nats';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXAMPLES } from '@meritorder/contracts';
import { connectDatabase, trialBalance } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const CLOSED = EXAMPLES.events['usage.attempt-closed.v1'];
let product: Product;
let app: NatsConnection;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'local',
        kind: 'local',
        config: {
          contextTokens: 200,
          prices: [
            {
              effectiveFrom: '2025-01-01T00:00:00Z',
              cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' },
              full: { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' },
            },
          ],
        },
      },
      {
        id: 'flaky',
        behaviour: { errorRate: 1 },
        config: {
          prices: [
            {
              effectiveFrom: '2025-01-01T00:00:00Z',
              cash: { inputUsdPerMillionTokens: '0.5', outputUsdPerMillionTokens: '0.5' },
            },
          ],
        },
      },
      { id: 'unpriced', config: { prices: [] } },
      {
        id: 'cutting',
        behaviour: { cutStreamRate: 1, prices: { input: '3', output: '3' } },
        config: {
          prices: [
            {
              effectiveFrom: '2025-01-01T00:00:00Z',
              cash: { inputUsdPerMillionTokens: '3', outputUsdPerMillionTokens: '3' },
            },
          ],
        },
      },
      {
        id: 'slow',
        behaviour: { outputTokensPerSecond: 20, wordsPerChunk: 1, prices: { input: '4', output: '4' } },
        config: {
          prices: [
            {
              effectiveFrom: '2025-01-01T00:00:00Z',
              cash: { inputUsdPerMillionTokens: '4', outputUsdPerMillionTokens: '4' },
            },
          ],
        },
      },
      { id: 'cloud' },
    ],
    config: {
      routes: [
        { id: 'auto', backends: ['local', 'cloud'] },
        { id: 'failing', backends: ['flaky', 'cloud'] },
      ],
      orgs: [
        {
          id: 'acme',
          departments: ['eng', 'support'],
          keys: [
            {
              id: 'support-bot',
              sha256: 'c62b375e6265547967c3a3bd35f496366c019d143a5e62f55ef377eba178809a',
              department: 'support',
            },
          ],
        },
        { id: 'globex' },
      ],
      limits: { bodyBytes: 100_000, streamWindowChunks: 32, streamAckTimeoutMs: 1_500 },
    },
  });
  app = await product.app();
});
afterAll(() => product.stop());

describe('a plain NATS client', () => {
  it('gets an answer with a receipt: the cheapest that is able, and why', async () => {
    const reply = await ask(app, chat('Hello there. Write 5 words.'));
    const body = reply.json<any>();
    expect(body.choices[0].message.content.split(' ')).toHaveLength(5);
    expect(body.meritorder).toMatchObject({
      backend: 'local',
      cost: { usd: '0', basis: 'confirmed' },
      usage: { outputTokens: 5 },
    });
    expect(body.meritorder.reason).toMatch(/^local: the cheapest of 2 able backends/);
  });

  it('gets the dearer backend where the cheap one lacks the context', async () => {
    const body = (await ask(app, chat(`${'word '.repeat(300)} Write 3 words.`))).json<any>();
    expect(body.meritorder).toMatchObject({ backend: 'cloud' });
    const { inputTokens, outputTokens } = body.meritorder.usage;
    expect(body.meritorder.cost.usd).toBe(String((inputTokens * 1000 + outputTokens * 2000) / 1e9));
  });

  it('works with the classic `nats` package', async () => {
    const classic = await connectClassic({
      servers: product.stack.nats.url,
      ...product.stack.credentials('org-acme'),
      inboxPrefix: '_INBOX_acme',
    });
    const codec = JSONCodec<any>();
    const reply = await classic.request('inference.request.v1.acme', codec.encode(JSON.parse(chat('Write 2 words.'))), {
      timeout: 20_000,
    });
    expect(codec.decode(reply.data).meritorder.usage.outputTokens).toBe(2);
    await classic.close();
  });

  it('streams with sequence numbers and a terminal message', async () => {
    const { chunks, last } = await stream(app, chat('Write 40 words.', { stream: true }));
    expect(chunks.map((c) => c.seq)).toEqual(chunks.map((_, i) => i));
    const text = chunks.map((c) => c.body.choices[0]?.delta?.content ?? '').join('');
    expect(text.trim().split(/\s+/)).toHaveLength(40);
    expect(chunks.every((c) => c.body.usage === undefined || c.body.usage === null)).toBe(true);
    expect(last.headers!.get('Meritorder-Status')).toBe('ok');
    expect(last.json<any>().meritorder).toMatchObject({
      backend: 'local',
      usage: { outputTokens: 40 },
      cost: { basis: 'confirmed' },
    });
  });

  it('gets usage in the stream where it asked for it', async () => {
    const { chunks } = await stream(
      app,
      chat('Write 4 words.', { stream: true, stream_options: { include_usage: true } }),
    );
    expect(chunks.at(-1)!.body.usage.completion_tokens).toBe(4);
  });

  it('is served by the next candidate when one fails before its first token', async () => {
    const body = (await ask(app, chat('Write 3 words.', { model: 'failing' }))).json<any>();
    expect(body.meritorder.backend).toBe('cloud');
    expect(body.meritorder.attempts).toMatchObject([
      { backend: 'flaky', outcome: 'failed' },
      { backend: 'cloud', outcome: 'finished' },
    ]);
    expect(body.meritorder.reason).toContain('after flaky could not take it');
  });

  it('is told when the stream breaks after the first token, and is charged at most the bound', async () => {
    const { last } = await stream(app, chat('Write 50 words.', { model: 'cutting', stream: true }));
    expect(last.headers!.get('Meritorder-Status')).toBe('error');
    expect(last.json<any>().error.code).toBe('stream_cut');
  });

  it('cancels, and what was generated is on record', async () => {
    const id = 'cancel-me-1';
    const seen: string[] = [];
    const { last } = await stream(app, chat('Write 100 words.', { model: 'slow', stream: true }), {
      request: id,
      onChunk: (text) => {
        seen.push(text);
        if (seen.length === 3) app.publish(`inference.cancel.v1.acme.${id}`);
      },
    });
    expect(last.headers!.get('Meritorder-Status')).toBe('cancelled');
    expect(seen.length).toBeLessThan(40);
  });

  it('a reader that stays away is cut off, not buffered for ever', async () => {
    const { last } = await stream(app, chat('Write 100 words.', { model: 'slow', stream: true }), {
      acknowledge: false,
    });
    expect(last.json<any>().error.code).toBe('reader_away');
  });
});

describe('attribution', () => {
  const withKey = (key: string): any => {
    const h = headers();
    h.set('Meritorder-Key', key);
    return h;
  };
  it('a key binds, and metadata may narrow but not contradict', async () => {
    const key = withKey('support-secret');
    expect(errorCode(await ask(app, chat('Write 1 words.'), { headers: key }))).toBe('');
    expect(
      errorCode(await ask(app, chat('Write 1 words.', { metadata: { department: 'eng' } }), { headers: key })),
    ).toBe('attribution_conflict');
    expect(errorCode(await ask(app, chat('Write 1 words.'), { headers: withKey('guess') }))).toBe('key_invalid');
  });
});

describe('bad input gets a clear error, and the next request an answer', () => {
  it.each<[string, string | Uint8Array, string, RegExp]>([
    ['not JSON', 'hello', 'body_not_json', /not JSON/],
    ['not UTF-8', new Uint8Array([0xff, 0xfe, 0x7b]), 'body_not_json', /not JSON/],
    ['an empty body', '', 'body_not_json', /not JSON/],
    ['a list', '[]', 'body_invalid', /object/],
    ['messages of the wrong type', JSON.stringify({ model: 'auto', messages: 'hi' }), 'body_invalid', /messages/],
    ['no messages', JSON.stringify({ model: 'auto', messages: [] }), 'body_invalid', /messages/],
    [
      'nested beyond any use',
      chat('x').replace(/}$/, `,"seed":${'['.repeat(5_000)}${']'.repeat(5_000)}}`),
      'body_invalid',
      /200 levels/,
    ],
    ['negative max_tokens', chat('x', { max_tokens: -5 }), 'body_invalid', /max_tokens/],
    ['a huge n', chat('x', { n: 1e9 }), 'body_invalid', /n:/],
    ['an unknown wish', chat('x', { meritorder: { be_quick: true } }), 'body_invalid', /be_quick/],
    ['an unknown route', chat('x', { model: 'nope' }), 'route_unknown', /auto/],
    ['an unknown department', chat('x', { metadata: { department: 'sales' } }), 'department_unknown', /eng, support/],
    [
      'a capability nobody has',
      chat('x', { tools: [{ type: 'function', function: { name: 'f' } }] }),
      'no_able_backend',
      /lacks tools/,
    ],
    ['a backend without a price', chat('x', { model: 'unpriced' }), 'price_missing', /no price.*prices:/],
    [
      'a cost cap below any bound',
      chat('word '.repeat(400), { meritorder: { max_cost_usd: '0.0000001' } }),
      'cost_cap',
      /may cost/,
    ],
    ['a body above the limit', chat('x'.repeat(200_000)), 'body_too_large', /100000/],
    [
      'an image without a cost bound',
      JSON.stringify({
        model: 'auto',
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] }],
      }),
      'no_able_backend',
      /vision/,
    ],
    ['a value no book can hold', chat('x', { metadata: { user: 'nul\u0000' } }), 'body_invalid', /user/],
    ['half a character', chat('x', { metadata: { customer: '\ud800' } }), 'body_invalid', /customer/],
  ])('%s', async (_name, body, code, words) => {
    const reply = await ask(app, body);
    expect(errorCode(reply)).toBe(code);
    expect(reply.headers!.get('Nats-Service-Error-Code')).toMatch(/^[45]\d\d$/);
    expect(reply.json<any>().error).toMatchObject({ code, message: expect.stringMatching(words) });
    expect(errorCode(await ask(app, chat('Write 1 words.')))).toBe('');
  });

  it('an unsupported kind and a bad request id', async () => {
    const kind = headers();
    kind.set('Meritorder-Kind', 'embeddings');
    const embeddings = JSON.stringify({ model: 'auto', input: 'x' });
    expect(errorCode(await ask(app, embeddings, { headers: kind }))).toBe('kind_unsupported');
    expect(errorCode(await ask(app, chat('x'), { headers: kind }))).toBe('body_invalid');
    const id = headers();
    id.set('Meritorder-Request', 'NOT A SLUG');
    expect(errorCode(await ask(app, chat('x'), { headers: id }))).toBe('header_invalid');
  });
});

describe('what an org may not do (invariant 10)', () => {
  it('publish to another org, to work or to the usage stream; subscribe to another inbox', async () => {
    const denied: string[] = [];
    void (async () => {
      for await (const s of app.status()) denied.push(JSON.stringify(s));
    })();
    for (const subject of [
      'inference.request.v1.globex',
      'work.v1.cloud',
      'usage.attempt-closed.v1.acme',
      'budget.threshold-crossed.v1.acme.x',
      '$JS.API.STREAM.DELETE.USAGE',
      '$JS.API.STREAM.LIST',
    ]) {
      await expect(app.request(subject, '{}', { timeout: 500 }), subject).rejects.toThrow();
    }
    for (const subject of [
      '_INBOX_globex.>',
      '_INBOX_router.>',
      'inference.request.v1.>',
      'deliver.v1.globex.alerts',
    ]) {
      let refused = false;
      app.subscribe(subject, {
        callback: (error) => {
          if (error) refused = true;
        },
      });
      await app.flush();
      await waitFor(() => refused, `${subject} to be refused`);
    }
  });

  it('a foreign reply subject: nothing is written there, neither by a request nor by a job', async () => {
    const operator = await product.stack.connectOperator();
    const written: string[] = [];
    for (const subject of ['_INBOX_globex.>', 'policy.>', 'price.>', '$JS.API.STREAM.PURGE.>']) {
      operator.subscribe(subject, { callback: (_e, m) => void written.push(`${m.subject} ${m.string()}`) });
    }
    await operator.flush();
    for (const reply of [
      '_INBOX_globex.stolen',
      'policy.changed',
      '$JS.API.STREAM.PURGE.USAGE',
      '_INBOX_acme',
      '_INBOX_acme.>',
    ]) {
      app.publish('inference.request.v1.acme', chat('Write 1 words.'), { reply });
      app.publish('inference.request.v1.acme', 'not json', { reply });
      app.publish('inference.job.v1.acme', chat('Write 1 words.'), { reply });
    }
    await app.flush();
    await ask(app, chat('Write 1 words.'));
    expect(written).toEqual([]);
    await operator.close();
  });
});

it('a poisoned usage message goes to the dead letters with the reason, and the next one is booked', async () => {
  const operator = await product.stack.connectOperator();
  const reasons: string[] = [];
  operator.subscribe('dead-letter.v1.*', {
    callback: (_e, m) => void reasons.push(m.headers!.get('Meritorder-Reason')),
  });
  operator.publish('usage.attempt-closed.v1.acme', '{"not":"an event"}');
  const h = headers();
  h.set('ce-id', 'x');
  h.set('ce-type', 'usage.attempt-closed.v1');
  operator.publish('usage.attempt-closed.v1.acme', '{"attemptId":7}', { headers: h });
  await waitFor(() => reasons.length >= 2, 'two dead letters');
  expect(reasons.join('\n')).toMatch(/ce-type or ce-id is missing/);
  expect(reasons.join('\n')).toMatch(/attemptId/);
  const { meritorder } = (await ask(app, chat('Write 1 words.'))).json<any>();
  await booked(meritorder.attempts[0].attempt_id, 'confirmed');
  await operator.close();
});

it.each<[string, object]>([
  ['a text that Postgres cannot hold', { providerCallId: 'nul\u0000' }],
  ['more tokens than an amount can count', { usage: { ...CLOSED.usage, outputTokens: Number.MAX_SAFE_INTEGER } }],
])(
  'a usage event in the right form with %s goes to the dead letters, and its neighbours are booked',
  async (_n, wrong) => {
    const operator = await product.stack.connectOperator();
    const reasons: string[] = [];
    operator.subscribe('dead-letter.v1.*', {
      callback: (_e, m) => void reasons.push(m.headers!.get('Meritorder-Reason')),
    });
    const { meritorder } = (await ask(app, chat('Write 1 words.'))).json<any>();
    const { price_version: priceVersion } = meritorder.cost;
    const id = `poison-${Object.keys(wrong)[0]!.toLowerCase()}`;
    const h = headers();
    h.set('ce-id', id);
    h.set('ce-type', 'usage.attempt-closed.v1');
    const event = {
      ...CLOSED,
      attemptId: id,
      priceVersion,
      backend: 'cloud',
      provider: 'simco',
      windows: [],
      ...wrong,
    };
    operator.publish('usage.attempt-closed.v1.acme', JSON.stringify(event), { headers: h });
    const next = (await ask(app, chat('Write 1 words.'))).json<any>();
    await booked(next.meritorder.attempts[0].attempt_id, 'confirmed');
    await waitFor(() => reasons.length === 1, 'the dead letter');
    expect(reasons[0]).toMatch(/cannot be booked/);
    await operator.close();
  },
);

it('the books hold every attempt of this file once, and balance', async () => {
  const { meritorder } = (await ask(app, chat(`${'word '.repeat(300)} Write 3 words.`))).json<any>();
  const row = await booked(meritorder.attempts[0].attempt_id, 'confirmed');
  const line = product.simulator
    .invoice()
    .lines.find((l: any) => l.clientRequestId === meritorder.attempts[0].attempt_id)!;
  expect(row.cash_nanos).toBe(String(line.nanoUsd));
  await withDatabase(async (db) => {
    expect((await trialBalance(db)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
    await expect(db.query(`update ledger_entry set amount_nanos = 1`)).rejects.toThrow(/append-only/);
    await expect(db.query(`delete from ledger_entry`)).rejects.toThrow(/append-only/);
    await expect(db.query(`truncate ledger_entry`)).rejects.toThrow(/append-only/);
  });
});

async function booked(attemptId: string, state: string): Promise<{ state: string; cash_nanos: string }> {
  return withDatabase((db) =>
    waitFor(async () => {
      const [row] = (await db.query(`select state, cash_nanos from attempt_settled where attempt_id = $1`, [
        attemptId,
      ])) as { state: string; cash_nanos: string }[];
      return row?.state === state && row;
    }, `attempt ${attemptId} to be ${state}`),
  );
}

async function withDatabase<T>(run: (db: Awaited<ReturnType<typeof connectDatabase>>) => Promise<T>): Promise<T> {
  const db = await connectDatabase(product.stack.database.url, 'test', 1);
  try {
    return await run(db);
  } finally {
    await db.destroy();
  }
}

interface Chunk {
  seq: number;
  body: any;
}

async function stream(
  nats: NatsConnection,
  body: string,
  options: { request?: string; acknowledge?: boolean; onChunk?: (text: string) => void } = {},
): Promise<{ chunks: Chunk[]; last: import('@nats-io/transport-node').Msg }> {
  const inbox = `_INBOX_acme.stream${Math.random().toString(36).slice(2)}`;
  const h = headers();
  if (options.request) h.set('Meritorder-Request', options.request);
  const subscription = nats.subscribe(inbox);
  nats.publish('inference.request.v1.acme', body, { reply: inbox, headers: h });
  const chunks: Chunk[] = [];
  for await (const m of subscription) {
    if (m.headers?.has('Meritorder-Status')) {
      subscription.unsubscribe();
      return { chunks, last: m };
    }
    chunks.push({ seq: Number(m.headers!.get('Meritorder-Seq')), body: m.json() });
    options.onChunk?.(m.string());
    if (options.acknowledge !== false && m.reply) m.respond();
  }
  throw new Error('the stream ended without a terminal message');
}
