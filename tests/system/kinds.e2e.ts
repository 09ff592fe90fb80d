import { nanosToUsd } from '@meritorder/kernel';
import { createInbox, headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { booksAsInvoice, hearRated } from './books.js';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const NANOS_PER_EMBEDDED_TOKEN = 20;
const EMBEDDINGS_PRICE = [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: '0.02', outputUsdPerMillionTokens: '0' },
  },
];
/** Around one text: what a template may add, and the start. */
const AROUND_TOKENS = 16 + 16;

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let database: Awaited<ReturnType<typeof connectDatabase>>;
/** Attempts by id, as metering rated them. */
let rated: Map<string, any>;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'talker', config: { capabilities: ['streaming', 'tools', 'vision'] } },
      {
        id: 'reader',
        config: { capabilities: ['streaming', 'vision'], maxTokensPerFile: 5_000, maxTokensPerAudio: 700 },
      },
      { id: 'slow', behaviour: { outputTokensPerSecond: 20, wordsPerChunk: 1 } },
      {
        id: 'embedder',
        behaviour: { kind: 'embedding', prices: { input: '0.02' }, embeddingDimensions: 8 },
        config: { kinds: ['embeddings'], contextTokens: 8_191, maxOutputTokens: 1, prices: EMBEDDINGS_PRICE },
      },
      {
        id: 'wide',
        behaviour: { kind: 'embedding', prices: { input: '0.02' }, embeddingDimensions: 4_096 },
        config: { kinds: ['embeddings'], maxOutputTokens: 1, prices: EMBEDDINGS_PRICE },
      },
    ],
    config: {
      routes: [
        { id: 'auto', backends: ['embedder', 'talker'] },
        { id: 'talk', backends: ['talker'] },
        { id: 'any', backends: ['talker', 'reader'] },
      ],
      budgets: [
        {
          id: 'search',
          selector: { org: 'acme', feature: 'search' },
          window: 'total',
          limitUsd: '0.000002',
          strictness: 'strict',
        },
      ],
    },
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
  rated = await hearRated(operator, 'acme');
  database = await connectDatabase(product.stack.database.url, 'kinds-test', 2);
});
afterAll(async () => {
  await database?.destroy();
  await operator?.close();
  await product?.stop();
});

function ofKind(kind: string, request?: string): Msg['headers'] {
  const h = headers();
  h.set('Meritorder-Kind', kind);
  if (request) h.set('Meritorder-Request', request);
  return h;
}
const embed = async (input: unknown, more: Record<string, unknown> = {}): Promise<Msg> =>
  ask(app, JSON.stringify({ model: 'auto', input, ...more }), { headers: ofKind('embeddings') });
const message = (text: string, more: Record<string, unknown> = {}): string =>
  JSON.stringify({ model: 'auto', max_tokens: 100, messages: [{ role: 'user', content: text }], ...more });
const write = async (text: string, more: Record<string, unknown> = {}): Promise<Msg> =>
  ask(app, message(text, more), { headers: ofKind('messages') });
const usd = (nanos: number): string => nanosToUsd(BigInt(nanos));

async function booked(receipt: any): Promise<any> {
  const id = receipt.attempts.at(-1).attempt_id as string;
  return waitFor(() => rated.get(id), `attempt ${id} to be rated`);
}

describe('embeddings over plain NATS', () => {
  it.each<[string, unknown, number, number]>([
    ['a text', 'the cheapest plant', 1, 3],
    ['texts', ['one', 'two words'], 2, 3],
    ['token numbers', [5, 6, 7, 8], 1, 4],
    ['lists of token numbers', [[1, 2], [3]], 2, 3],
  ])('%s: vectors, and a receipt that is what is booked', async (_name, input, vectors, tokens) => {
    const answer = (await embed(input)).json<any>();
    expect(answer).toMatchObject({ object: 'list', usage: { prompt_tokens: tokens } });
    expect(answer.data.map((d: any) => d.embedding.length)).toEqual(Array.from({ length: vectors }, () => 8));
    const { meritorder } = answer;
    expect(meritorder).toMatchObject({
      backend: 'embedder',
      usage: { inputTokens: tokens, outputTokens: 0 },
      cost: { usd: usd(tokens * NANOS_PER_EMBEDDED_TOKEN), basis: 'confirmed' },
    });
    const event = await booked(meritorder);
    expect(event).toMatchObject({ kind: 'embeddings', state: 'confirmed', usage: { inputTokens: tokens } });
    expect(event.cost.cashNanos).toBe(String(tokens * NANOS_PER_EMBEDDED_TOKEN));
  });

  it('the context is for one input, and many go at once; the sum of all is what is paid for', async () => {
    const words = 'The merit order ranks what is there by what it costs. '.repeat(10);
    const answer = (await embed(Array.from({ length: 512 }, () => words))).json<any>();
    expect(answer.data).toHaveLength(512);
    expect(answer.meritorder.usage.inputTokens).toBeGreaterThan(8_191);
    const tooLong = await embed(['short', ...[1, 2].map(() => words.repeat(80))], { model: 'embedder' });
    expect(errorCode(tooLong)).toBe('no_able_backend');
    expect(tooLong.json<any>().error.message).toMatch(
      /about \d+ tokens of one input exceed its context of 8191, its maximum context length/,
    );
  });

  it('what the caller asks of the vectors reaches the backend untouched', async () => {
    const { data } = (await embed('a', { dimensions: 3, encoding_format: 'base64' })).json<any>();
    expect(Buffer.from(data[0].embedding, 'base64')).toHaveLength(3 * 4);
  });

  it('a strict budget holds the bytes of the input, and refuses what might exceed it', async () => {
    const metadata = { feature: 'search' };
    const fits = (await embed('x'.repeat(30), { metadata })).json<any>();
    const event = await booked(fits.meritorder);
    expect(event.bound.cashNanos).toBe(String((30 + AROUND_TOKENS) * NANOS_PER_EMBEDDED_TOKEN));
    expect(BigInt(event.cost.cashNanos)).toBeLessThanOrEqual(BigInt(event.bound.cashNanos));
    const refused = await embed('größer'.repeat(100), { metadata });
    expect(errorCode(refused)).toBe('budget_exhausted');
    expect(refused.json<any>().error.details).toMatchObject({
      budget: 'search',
      needed_usd: usd((800 + AROUND_TOKENS) * NANOS_PER_EMBEDDED_TOKEN),
    });
  });

  it('go to who serves them, and chat does not go there', async () => {
    expect((await ask(app, chat('Write 1 words.'))).json<any>().meritorder.backend).toBe('talker');
    const none = await embed('a', { model: 'talk' });
    expect(errorCode(none)).toBe('kind_unsupported');
    expect(none.json<any>().error.message).toContain('"talk"');
    const chatThere = await ask(app, chat('x', { model: 'embedder' }));
    expect(errorCode(chatThere)).toBe('kind_unsupported');
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing', '', /^input/],
    ['a mixture', ['a', 1], /^input/],
    ['too many', Array.from({ length: 2_049 }, () => 'a'), /^input/],
  ])('of %s are refused by the field', async (_name, input, expected) => {
    const { error } = (await embed(input)).json<any>();
    expect(error).toMatchObject({ code: 'body_invalid', message: expect.stringMatching(expected) });
  });

  it('that no message can carry are refused with what to do, and booked all the same', async () => {
    const inputs = Array.from({ length: 130 }, (_, i) => `text ${i}`);
    const answer = await embed(inputs, { model: 'wide' });
    expect(answer.json<any>().error).toMatchObject({
      code: 'answer_unusable',
      message: expect.stringMatching(/ask for less at once, of embeddings in base64/),
    });
    const event = await waitFor(() => [...rated.values()].find((e) => e.backend === 'wide'), 'it to be rated');
    expect(event).toMatchObject({ state: 'confirmed', usage: { inputTokens: 260 } });
  });

  it('that no message can carry come in parts to a caller that takes them', async () => {
    const h = ofKind('embeddings')!;
    h.set('Meritorder-Max-Answer-Bytes', String(64 * 1024 * 1024));
    const inbox = createInbox('_INBOX_acme');
    const parts: Msg[] = [];
    const subscription = app.subscribe(inbox, {
      callback: (_error, m) => {
        parts.push(m);
        if (m.reply) m.respond();
      },
    });
    const input = Array.from({ length: 140 }, (_, i) => `text ${i}`);
    app.publish('inference.request.v1.acme', JSON.stringify({ model: 'wide', input }), { reply: inbox, headers: h });
    await waitFor(() => parts.at(-1)?.headers?.get('Meritorder-Status') === 'ok', 'the last part');
    subscription.unsubscribe();
    expect(parts.map((m) => m.headers!.get('Meritorder-Part'))).toEqual(parts.map((_, i) => String(i)));
    const { data, meritorder } = JSON.parse(Buffer.concat(parts.map((m) => m.data)).toString('utf8'));
    expect(parts.length).toBeGreaterThan(8);
    expect(data.map((d: any) => d.embedding.length)).toEqual(input.map(() => 4_096));
    expect(await booked(meritorder)).toMatchObject({ state: 'confirmed', usage: { inputTokens: 280 } });
  });

  it('that no message can carry are paid for once, also as a job and under an idempotency key', async () => {
    const inputs = Array.from({ length: 131 }, (_, i) => `text ${i}`);
    const paid = () => [...rated.values()].filter((e) => e.backend === 'wide' && e.usage?.inputTokens === 262).length;
    const body = { model: 'wide', meritorder: { idempotency_key: 'wide-once' } };
    expect((await embed(inputs, body)).json<any>().error.code).toBe('answer_unusable');
    expect((await embed(inputs, body)).json<any>().error.code).toBe('request_duplicate');
    const results: any[] = [];
    const subscription = operator.subscribe('inference.result.v1.acme.*', {
      callback: (_error, m) => void results.push(m.json()),
    });
    await operator.flush();
    const job = JSON.stringify({ model: 'wide', input: inputs });
    const options = { timeout: 5_000, headers: ofKind('embeddings')! };
    const accepted = (await app.request('inference.job.v1.acme', job, options)).json<any>();
    const result = await waitFor(() => results.find((r) => r.requestId === accepted.request_id), 'its result');
    subscription.unsubscribe();
    expect(result).toMatchObject({ status: 'error', body: { error: { code: 'answer_unusable' } } });
    await waitFor(() => paid() === 2, 'both to be rated');
  });

  it('as a durable job end in an event with the vectors', async () => {
    const results: any[] = [];
    operator.subscribe('inference.result.v1.acme.*', { callback: (_error, m) => void results.push(m.json()) });
    await operator.flush();
    const accepted = await app.request('inference.job.v1.acme', JSON.stringify({ model: 'auto', input: [1, 2] }), {
      timeout: 20_000,
      headers: ofKind('embeddings')!,
    });
    const { request_id } = accepted.json<any>();
    const result = await waitFor(() => results.find((r) => r.requestId === request_id), 'the result of the job');
    expect(result).toMatchObject({ status: 'ok', body: { object: 'list', meritorder: { usage: { inputTokens: 2 } } } });
    await booked(result.body.meritorder);
  });
});

describe('messages over plain NATS, of a backend that speaks chat completions', () => {
  it('are answered as a message, with a receipt that is what is booked, by the attribution of `meritorder`', async () => {
    const answer = (
      await write('Write 5 words.', {
        system: 'Be brief.',
        metadata: { user_id: 'u-1' },
        meritorder: { metadata: { department: 'eng', feature: 'letters' } },
      })
    ).json<any>();
    expect(answer).toMatchObject({ type: 'message', role: 'assistant', model: 'talker', stop_reason: 'end_turn' });
    expect(answer.content[0].text.split(' ')).toHaveLength(5);
    const { usage, meritorder } = answer;
    expect(usage).toMatchObject({
      input_tokens: meritorder.usage.inputTokens,
      cache_read_input_tokens: meritorder.usage.cacheReadTokens,
      output_tokens: 5,
    });
    const event = await booked(meritorder);
    expect(event).toMatchObject({
      kind: 'messages',
      state: 'confirmed',
      attribution: { org: 'acme', department: 'eng', feature: 'letters' },
    });
    expect(meritorder.cost.usd).toBe(nanosToUsd(BigInt(event.cost.cashNanos)));
  });

  it("stream as Anthropic's events with sequence numbers; message_stop has the receipt", async () => {
    const { events, seqs, last } = await stream(message('Write 40 words.', { stream: true }));
    expect(seqs).toEqual(seqs.map((_, i) => i));
    expect(events.map((e) => e.type).filter((type, i, all) => type !== all[i - 1])).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
    ]);
    const text = events.map((e) => e.delta?.text ?? '').join('');
    expect(text.trim().split(/\s+/)).toHaveLength(40);
    expect(last.headers!.get('Meritorder-Status')).toBe('ok');
    expect(last.json<any>()).toMatchObject({ type: 'message_stop', meritorder: { usage: { outputTokens: 40 } } });
    expect(events.at(-1)).toMatchObject({ delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 40 } });
    await booked(last.json<any>().meritorder);
  });

  it('that reach their limit say so', async () => {
    const { stop_reason, usage } = (await write('Write 90 words.', { max_tokens: 7 })).json<any>();
    expect({ stop_reason, tokens: usage.output_tokens }).toEqual({ stop_reason: 'max_tokens', tokens: 7 });
  });

  it('that are cancelled end with the receipt of what was generated', async () => {
    const id = 'cancel-message-1';
    const { last } = await stream(message('Write 100 words.', { stream: true, model: 'slow' }), id, (seen) => {
      if (seen === 4) app.publish(`inference.cancel.v1.acme.${id}`);
    });
    expect(last.headers!.get('Meritorder-Status')).toBe('cancelled');
    expect(last.json<any>()).toMatchObject({
      type: 'message_stop',
      meritorder: { attempts: [{ outcome: 'cancelled' }] },
    });
  });

  it.each<[string, Record<string, unknown>, string, RegExp]>([
    ['sampling by rank', { top_k: 5 }, 'no_able_backend', /talker: .*cannot say sampling by rank \(top_k\)/],
    ['thinking', { max_tokens: 90, thinking: { type: 'enabled', budget_tokens: 50 } }, 'no_able_backend', /thinking/],
    ['a field that may cost', { speed: 'fast' }, 'no_able_backend', /speed/],
    ['attribution in the wrong place', { metadata: { department: 'eng' } }, 'body_invalid', /meritorder\.metadata/],
    ['no limit', { max_tokens: undefined }, 'body_invalid', /^max_tokens/],
    ['an unknown department', { meritorder: { metadata: { department: 'sales' } } }, 'department_unknown', /eng/],
  ])('%s is refused with a stable code in the body that NATS callers know', async (_name, more, code, words) => {
    const reply = await write('x', more);
    expect(errorCode(reply)).toBe(code);
    expect(reply.json<any>().error).toMatchObject({ code, message: expect.stringMatching(words) });
  });
});

describe('files and audio', () => {
  const FILE = { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,aGk=' } };
  const AUDIO = { type: 'input_audio', input_audio: { data: 'aGk=', format: 'wav' } };
  const WORDS = { type: 'text', text: 'Write 3 words.' };
  const NANOS_PER_INPUT_TOKEN = 1_000;
  const NANOS_PER_OUTPUT_TOKEN = 2_000;
  const asking = (content: object[], model: string): string =>
    JSON.stringify({ model, max_tokens: 10, messages: [{ role: 'user', content }] });

  it('reach a backend that says what one can cost, and are held by that, booked as reported', async () => {
    const { meritorder } = (await ask(app, asking([FILE, AUDIO, WORDS], 'any'))).json<any>();
    expect(meritorder.backend).toBe('reader');
    const event = await booked(meritorder);
    const bytes = 'a.pdf'.length + WORDS.text.length;
    expect(event.bound.cashNanos).toBe(
      String((5_000 + 700 + bytes + AROUND_TOKENS) * NANOS_PER_INPUT_TOKEN + 10 * NANOS_PER_OUTPUT_TOKEN),
    );
    expect(event).toMatchObject({ state: 'confirmed', usage: { inputTokens: meritorder.usage.inputTokens } });
    expect(event.usage.inputTokens).toBeGreaterThan(2 * 85);
  });

  it('of responses too', async () => {
    const { file, input_audio } = { ...FILE, ...AUDIO };
    const content = [
      { type: 'input_file', ...file },
      { type: 'input_audio', input_audio },
      { type: 'input_text', text: 'Hi' },
    ];
    const body = { model: 'any', max_output_tokens: 10, store: false, input: [{ role: 'user', content }] };
    const answer = (await ask(app, JSON.stringify(body), { headers: ofKind('responses') })).json<any>();
    expect(answer.meritorder.backend).toBe('reader');
    await booked(answer.meritorder);
  });

  it.each([
    ['a file', FILE, /talker: messages\.0\.content\.0 is a file: without maxTokensPerFile its tokens have no bound/],
    ['audio', AUDIO, /talker: messages\.0\.content\.0 is audio: without maxTokensPerAudio its tokens have no bound/],
  ])('%s is refused by one that does not, which names the setting', async (_name, part, words) => {
    const reply = await ask(app, asking([part, WORDS], 'talk'));
    expect(errorCode(reply)).toBe('no_able_backend');
    expect(reply.json<any>().error.message).toMatch(words);
  });
});

it("the books are the simulator's invoice, to the nano-dollar, for every kind", async () => {
  const imported = await booksAsInvoice({ product, operator, database });
  expect(imported.aboveBound).toEqual([]);
  const lines = product.simulator.invoice().lines as any[];
  expect(new Set(lines.map((l) => l.model))).toEqual(new Set(['talker', 'reader', 'slow', 'embedder', 'wide']));
});

async function stream(
  body: string,
  request?: string,
  onChunk: (seen: number) => void = () => {},
): Promise<{ events: any[]; seqs: number[]; last: Msg }> {
  const inbox = `_INBOX_acme.${crypto.randomUUID()}`;
  const subscription = app.subscribe(inbox);
  app.publish('inference.request.v1.acme', body, { reply: inbox, headers: ofKind('messages', request)! });
  const events: any[] = [];
  const seqs: number[] = [];
  for await (const m of subscription) {
    if (m.headers?.has('Meritorder-Status')) {
      subscription.unsubscribe();
      return { events, seqs, last: m };
    }
    seqs.push(Number(m.headers!.get('Meritorder-Seq')));
    events.push(m.json());
    onChunk(events.length);
    if (m.reply) m.respond();
  }
  throw new Error('the stream ended without a terminal message');
}
