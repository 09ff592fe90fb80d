import Anthropic from '@anthropic-ai/sdk';
import { connect as connectTcp } from 'node:net';
import { AzureOpenAI } from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { orgInboxPrefix } from '@meritorder/contracts';
import { connectDatabase, migrate } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { usePostgres } from '@meritorder/testing/vitest';
import type { DataSource } from 'typeorm';
import { KEY, RECEIPT, send, startWorld, type Asked, type World } from './gateway-world.for-tests.js';

let world: World;
const LIMITS = {
  bodyBytes: 10_000,
  headerBytes: 4_096,
  requestReadTimeoutMs: 1_000,
  streamAckTimeoutMs: 1_000,
  requestsInFlightPerKey: 40,
};
const chunk = (content: string) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
const ask = (more: object = {}) =>
  JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'x' }], ...more });
const events = (text: string): string[] => text.split('\n\n').filter((e) => e !== '');
const errorOf = (text: string): any => JSON.parse(text).error;

const postgres = usePostgres();
let database: DataSource;
beforeAll(async () => {
  await migrate(postgres.url);
  database = await connectDatabase(postgres.url, 'gateway-test');
  world = await startWorld({ limits: LIMITS, database });
});
afterAll(async () => {
  await world?.stop();
  await database?.destroy();
});
beforeEach(() => {
  for (const list of [world.outcomes, world.asked, world.cancelled, world.acknowledged]) list.length = 0;
  world.answer(() => {});
});
afterEach(() => waitFor(() => world.edge.slots.inFlight === 0, 'every place is free again'));

/** The next request, once it has arrived. */
const next = (at = 0): Promise<Asked> => waitFor(() => world.asked[at], 'a request');

describe('a call', () => {
  it('goes out as one message of the public surface, the body as it was', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const body = `{ "model":"auto",\n"messages":[{"role":"user","content":"ü"}], "seed":1e2 }`;
    world.answer((a) => a.finish({ id: 'x', meritorder: RECEIPT }));
    const heard = await send(world, { body, headers: { traceparent } });
    const { message, header } = await next();
    expect(message.subject).toBe('inference.request.v1.acme');
    expect(message.string()).toBe(body);
    expect(header('Meritorder-Kind')).toBe('chat');
    expect(header('Meritorder-Key')).toBe(KEY);
    expect(header('Meritorder-Request')).toBe(heard.headers['x-meritorder-request-id']);
    expect(header('traceparent')).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-/);
    expect(message.reply!.startsWith(`${orgInboxPrefix('acme')}.gateway.`)).toBe(true);
  });

  it('has its answer as it came, and what it cost in headers', async () => {
    const answer = { id: 'x', deep: { meritorder: { no: 'receipt' } }, text: '"meritorder":{', meritorder: RECEIPT };
    world.answer((a) => a.finish(answer));
    const heard = await send(world, { body: ask() });
    expect(JSON.parse(heard.text)).toEqual(answer);
    expect(heard.headers).toMatchObject({
      'content-type': 'application/json',
      'x-meritorder-backend': 'b',
      'x-meritorder-attempts': '2',
      'x-meritorder-cost-usd': '0.000412',
      'x-meritorder-cost-basis': 'confirmed',
    });
    expect(world.outcomes).toEqual(['answered']);
  });

  it('is streamed in whole events, whatever white space a chunk has, with the receipt before [DONE]', async () => {
    world.answer((a) => {
      a.chunk('{"choices":[{"index":0,\r\n"delta":{"content":"a"}}]}');
      a.chunk(chunk('b'));
      a.finish({ id: 'x', choices: [], meritorder: RECEIPT });
    });
    const heard = await send(world, { body: ask({ stream: true }) });
    expect(heard.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(heard.headers).toMatchObject({ 'x-meritorder-backend': 'b', 'x-meritorder-attempts': '2' });
    const seen = events(heard.text).map((e) => e.replace(/^data: /, ''));
    expect(seen).toHaveLength(4);
    expect(JSON.parse(seen[0]!).choices[0].delta.content).toBe('a');
    expect(JSON.parse(seen[2]!)).toMatchObject({ choices: [{ index: 0, delta: {} }], meritorder: RECEIPT });
    expect(seen[3]).toBe('[DONE]');
  });

  it('of one org is never heard by another, nor asked in its name', async () => {
    world.answer((a) => a.finish({ org: a.org, meritorder: RECEIPT }));
    const heard = await send(world, { body: ask(), headers: { authorization: 'Bearer sk-test-globex' } });
    expect(JSON.parse(heard.text).org).toBe('globex');
    expect((await next()).message.reply!.startsWith('_INBOX_globex.gateway.')).toBe(true);
  });
});

describe('a stream that does not end well', () => {
  it('ends with an error event where an error came after the first chunk', async () => {
    world.answer((a) => {
      a.chunk(chunk('a'));
      a.refuse({ code: 'stream_cut', message: 'lost' });
    });
    const heard = await send(world, { body: ask({ stream: true }) });
    expect(heard.status).toBe(200);
    const last = JSON.parse(events(heard.text).at(-1)!.replace('data: ', ''));
    expect(last.error).toMatchObject({ code: 'stream_cut', type: 'api_error' });
    expect(heard.text).not.toContain('[DONE]');
  });

  it.each<[string, (a: Asked) => void]>([
    ['a chunk', (a) => a.chunk(chunk('c'), { seq: 2 })],
    [
      'the chunk before the last message',
      (a) => {
        a.chunk(chunk('b'));
        a.chunk(chunk('c'), { seq: 9 });
      },
    ],
  ])('ends with an error when %s is lost, and the call is stopped', async (_name, lose) => {
    world.answer((a) => {
      a.chunk(chunk('a'));
      lose(a);
    });
    const heard = await send(world, { body: ask({ stream: true }) });
    expect(heard.text).toContain('stream_cut');
    await waitFor(() => world.cancelled.length === 1, 'a cancel');
  });

  it('that is cancelled elsewhere says so', async () => {
    world.answer((a) => {
      a.chunk(chunk('a'));
      a.finish({ meritorder: RECEIPT }, 'cancelled');
    });
    expect((await send(world, { body: ask({ stream: true }) })).text).toContain('"code":"cancelled"');
  });
});

describe('a caller that leaves', () => {
  it.each(['before the first byte', 'in the middle'])('%s has the call cancelled', async (when) => {
    const call = connectTcp(world.port, '127.0.0.1');
    const body = ask({ stream: true });
    call.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    const asked = await next();
    if (when === 'in the middle') {
      asked.chunk(chunk('a'));
      await new Promise((r) => call.once('data', r));
    }
    call.destroy();
    await waitFor(() => world.cancelled.length === 1, 'a cancel');
    expect(world.cancelled).toEqual([asked.header('Meritorder-Request')]);
    await waitFor(() => world.outcomes.length === 1, 'the end');
    expect(world.outcomes).toEqual(['left']);
    // Whatever still comes goes nowhere.
    asked.chunk(chunk('b'));
    asked.finish({ meritorder: RECEIPT });
  });

  it('while it sends its body has asked nothing', async () => {
    const call = connectTcp(world.port, '127.0.0.1');
    call.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\ncontent-length: 1000\r\n\r\n{"half":`,
    );
    await waitFor(() => world.edge.slots.inFlight === 1, 'the call');
    call.destroy();
    await waitFor(() => world.outcomes.length === 1, 'the end');
    expect(world.asked).toHaveLength(0);
  });
});

describe('a slow reader', () => {
  it('is acknowledged for only once it has taken what it was sent', async () => {
    const call = connectTcp(world.port, '127.0.0.1');
    const body = ask({ stream: true });
    call.pause();
    call.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    const asked = await next();
    const big = 'x'.repeat(200_000);
    // More than the buffers between two sockets hold.
    for (let i = 0; i < 100; i++) asked.chunk(chunk(big), { asksAck: i === 99 || i === 0 });
    await waitFor(() => world.acknowledged.includes(0), 'the first acknowledgement');
    await world.operator.flush();
    await new Promise((r) => setTimeout(r, 100));
    expect(world.acknowledged).toEqual([0]);
    call.resume();
    await waitFor(() => world.acknowledged.length === 2, 'the second acknowledgement');
    expect(world.acknowledged[1]).toBe(99);
    call.destroy();
    await waitFor(() => world.outcomes.length === 1, 'the end');
  });

  it('of an answer that has ended is not waited for without end', async () => {
    const call = connectTcp(world.port, '127.0.0.1');
    const body = ask();
    call.pause();
    call.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    // A window of 64 kB: what the kernel takes at once is no sign of a reader.
    (await next()).finish({ text: 'x'.repeat(7_900_000), meritorder: RECEIPT });
    await waitFor(() => world.outcomes.length === 1, 'the answer');
    const open = (): Promise<number> =>
      new Promise((done) => world.edge.server.getConnections((_e, count) => done(count)));
    const before = await open();
    await waitFor(async () => (await open()) < before, 'the connection is closed');
    call.destroy();
  });
});

describe('limits', () => {
  it.each<[string, Parameters<typeof send>[1], number, string]>([
    ['a body above the limit', { body: 'x'.repeat(10_001) }, 413, 'body_too_large'],
    [
      'a body above the limit that does not say so',
      { body: Buffer.alloc(40_000), headers: { 'transfer-encoding': 'chunked' } },
      413,
      'body_too_large',
    ],
    ['a compressed body', { body: 'x', headers: { 'content-encoding': 'gzip' } }, 415, 'encoding_unsupported'],
    ['headers above the limit', { body: '{}', headers: { 'x-long': 'x'.repeat(5_000) } }, 431, 'headers_too_large'],
    ['a path that is not there', { path: '/v2/chat' }, 404, 'path_unknown'],
    ['another method', { method: 'GET' }, 405, 'method_unsupported'],
    ['no key', { headers: { authorization: '' } }, 401, 'key_required'],
    ['a wrong key', { headers: { authorization: 'Bearer sk-wrong' }, body: '{}' }, 401, 'key_invalid'],
    ['half a key', { headers: { authorization: 'Bearer' } }, 401, 'key_required'],
  ])('%s is refused', async (_name, options, status, code) => {
    const heard = await send(world, options);
    expect(heard.status).toBe(status);
    expect(errorOf(heard.text).code).toBe(code);
    expect(heard.text).not.toContain('sk-wrong');
    expect(world.asked).toHaveLength(0);
  });

  it.each([
    ['headers', 'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n'],
    [
      'a body',
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\ncontent-length: 10\r\n\r\n{`,
    ],
  ])('%s that do not arrive are not waited for', async (_name, bytes) => {
    const call = connectTcp(world.port, '127.0.0.1');
    let text = '';
    call.on('data', (part) => (text += part.toString()));
    call.write(bytes);
    await new Promise((r) => call.once('close', r));
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    expect(text).toContain('read_timeout');
  });

  it('what is not HTTP is told so', async () => {
    const call = connectTcp(world.port, '127.0.0.1');
    let text = '';
    call.on('data', (part) => (text += part.toString()));
    call.write('hello\r\n\r\n');
    await new Promise((r) => call.once('close', r));
    expect(text).toMatch(/^HTTP\/1\.1 400 [^]*http_invalid/);
  });

  it('one key has so many requests in flight and no more, and its place again after them', async () => {
    const running = Array.from({ length: LIMITS.requestsInFlightPerKey }, () =>
      send(world, { body: ask(), agent: false }),
    );
    await waitFor(() => world.asked.length === running.length, 'all are in flight');
    const refused = await send(world, { body: ask() });
    expect(refused.status).toBe(429);
    expect(errorOf(refused.text).code).toBe('key_concurrency');
    expect(refused.headers).toMatchObject({ 'retry-after': '1', 'retry-after-ms': '1000' });
    world.asked.forEach((a) => a.finish({ meritorder: RECEIPT }));
    expect((await Promise.all(running)).every((r) => r.status === 200)).toBe(true);
    world.answer((a) => a.finish({ meritorder: RECEIPT }));
    expect((await send(world, { body: ask() })).status).toBe(200);
  });
});

describe('what an SDK does next', () => {
  it.each<
    [string, Asked['refuse'] extends (r: infer R) => void ? R : never, number, Record<string, string | undefined>]
  >([
    [
      'a held budget is asked for again when it frees',
      { code: 'budget_held', message: 'm', retryAfterSeconds: 3 },
      429,
      { 'retry-after': '3', 'retry-after-ms': '3000', 'x-should-retry': undefined },
    ],
    [
      'a spent budget is not asked for again',
      { code: 'budget_exhausted', message: 'm', retryAfterSeconds: 86_400 },
      402,
      { 'retry-after': '86400', 'x-should-retry': 'false' },
    ],
    [
      'a limit that passes later than an SDK waits is not either',
      { code: 'budget_throttled', message: 'm', retryAfterSeconds: 90 },
      429,
      { 'x-should-retry': 'false' },
    ],
    [
      'a price that is missing does not come by itself',
      { code: 'price_missing', message: 'm' },
      503,
      { 'x-should-retry': 'false' },
    ],
    ['a failed backend is asked again', { code: 'backend_failed', message: 'm' }, 502, { 'x-should-retry': undefined }],
  ])('%s', async (_name, refusal, status, headers) => {
    world.answer((a) => a.refuse(refusal));
    const heard = await send(world, { body: ask() });
    expect(heard.status).toBe(status);
    for (const [name, value] of Object.entries(headers)) expect(heard.headers[name]).toBe(value);
    expect(errorOf(heard.text)).toMatchObject({ code: refusal.code, message: 'm' });
  });
});

describe('an idempotency key', () => {
  const keyed = (key: string, more: object = {}) =>
    send(world, { body: ask(more), headers: { 'idempotency-key': key } });

  it.each([false, true])('has one call and one answer, which is given again (stream: %s)', async (stream) => {
    world.answer((a) => {
      if (stream) a.chunk(chunk('a'));
      a.finish({ id: 'x', choices: [], meritorder: RECEIPT });
    });
    const [first, again] = [await keyed(`k${stream}`, { stream }), await keyed(`k${stream}`, { stream })];
    expect(world.asked).toHaveLength(1);
    expect(again.text).toBe(first.text);
    expect(again.status).toBe(200);
    expect(again.headers['content-type']).toBe(first.headers['content-type']);
    expect(again.headers['x-meritorder-backend']).toBe('b');
    expect(again.headers['x-meritorder-replayed']).toBe('true');
  });

  it('that is in flight, or was used for something else, says so', async () => {
    const first = keyed('busy');
    const asked = await next();
    const second = await keyed('busy');
    expect(second.status).toBe(409);
    expect(second.headers['retry-after']).toBe('1');
    expect(second.headers['x-should-retry']).toBeUndefined();
    expect((await keyed('busy', { seed: 2 })).status).toBe(422);
    asked.finish({ meritorder: RECEIPT });
    expect((await first).status).toBe(200);
  });

  it('whose request was refused is free again', async () => {
    world.answer((a) => a.refuse({ code: 'budget_held', message: 'm' }));
    expect((await keyed('again')).status).toBe(429);
    world.answer((a) => a.finish({ meritorder: RECEIPT }));
    expect((await keyed('again')).status).toBe(200);
  });

  it('whose caller left has its answer kept for when it asks again', async () => {
    const left = new Promise((done) =>
      world.edge.server.once('request', (_request, response) => response.once('close', done)),
    );
    const call = connectTcp(world.port, '127.0.0.1');
    const body = ask();
    call.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEY}\r\nidempotency-key: left\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    const asked = await next();
    call.destroy();
    await left;
    asked.finish({ id: 'paid', meritorder: RECEIPT });
    await waitFor(() => world.outcomes.length === 1, 'the end');
    expect(world.cancelled).toEqual([]);
    expect(JSON.parse((await keyed('left')).text).id).toBe('paid');
    expect(world.asked).toHaveLength(1);
  });
});

describe("AzureOpenAI of OpenAI's SDK", () => {
  const client = (more: object = {}): AzureOpenAI =>
    new AzureOpenAI({ endpoint: world.url, apiKey: KEY, apiVersion: '2024-10-21', maxRetries: 0, ...more } as never);
  const messages = [{ role: 'user' as const, content: 'x' }];

  it.each([
    ['the model', {}, 'gpt-4.1', 'gpt-4.1'],
    ['a model with a slash', {}, 'openai/gpt-4.1', 'openai/gpt-4.1'],
    ['its deployment, whatever the body has', { deployment: 'auto' }, '', 'auto'],
  ])('is answered by the path that names %s, with its own header for the key', async (_what, more, model, asked) => {
    world.answer((a) => a.finish({ choices: [{ message: { content: 'hello' } }], meritorder: RECEIPT }));
    const answer = await client(more).chat.completions.create({ model, messages });
    expect(answer.choices[0]!.message.content).toBe('hello');
    const { body, header } = await next();
    expect(body).toEqual({ model: asked, messages });
    expect(header('Meritorder-Kind')).toBe('chat');
    expect(header('Meritorder-Key')).toBe(KEY);
  });

  it('is answered where it is given the address of /v1, too', async () => {
    world.answer((a) => a.finish({ choices: [], meritorder: RECEIPT }));
    const baseURL = `${world.url}/v1`;
    await new AzureOpenAI({ baseURL, apiKey: KEY, apiVersion: '1', maxRetries: 0 }).chat.completions.create({
      model: 'auto',
      messages,
    });
    expect((await next()).body).toEqual({ model: 'auto', messages });
  });

  it('embeds', async () => {
    world.answer((a) => a.finish({ object: 'list', data: [{ embedding: [1] }], meritorder: RECEIPT }));
    await client().embeddings.create({ model: 'small', input: 'x', encoding_format: 'float' });
    expect((await next()).header('Meritorder-Kind')).toBe('embeddings');
    expect((await next()).body).toMatchObject({ model: 'small', input: 'x' });
  });

  it('is refused for a wrong key, and has no other path', async () => {
    await expect(client({ apiKey: 'nope' }).chat.completions.create({ model: 'auto', messages })).rejects.toMatchObject(
      {
        status: 401,
        code: 'key_invalid',
      },
    );
    for (const path of ['/openai/deployments/auto/images/generations', '/openai/deployments/%ff/embeddings'])
      expect(await send(world, { path })).toMatchObject({ status: 404 });
  });
});

describe("Anthropic's SDK", () => {
  let anthropic: Anthropic;
  const params = { model: 'claude', max_tokens: 10, messages: [{ role: 'user' as const, content: 'x' }] };
  const MESSAGE = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude',
    stop_reason: null,
    stop_sequence: null,
  };
  beforeAll(() => {
    anthropic = new Anthropic({ baseURL: world.url, apiKey: KEY, maxRetries: 0 });
  });

  it('has its answer, by the kind messages and its own header for the key', async () => {
    world.answer((a) =>
      a.finish({
        ...MESSAGE,
        content: [{ type: 'text', text: 'hello' }],
        usage: { input_tokens: 1, output_tokens: 1 },
        meritorder: RECEIPT,
      }),
    );
    const message = await anthropic.messages.create(params);
    expect(message.content[0]).toEqual({ type: 'text', text: 'hello' });
    expect(message._request_id).toBe((await next()).header('Meritorder-Request'));
    expect((await next()).header('Meritorder-Kind')).toBe('messages');
  });

  it('streams, and the receipt is in the last event', async () => {
    world.answer((a) => {
      a.chunk({
        type: 'message_start',
        message: { ...MESSAGE, content: [], usage: { input_tokens: 1, output_tokens: 1 } },
      });
      a.chunk({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
      a.chunk({ index: 0, delta: { type: 'text_delta', text: 'hel' }, type: 'content_block_delta' });
      a.chunk({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'lo' } });
      a.chunk({ type: 'content_block_stop', index: 0 });
      a.chunk({
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: 5 },
      });
      a.chunk({ type: 'message_stop' });
      a.finish({ meritorder: RECEIPT });
    });
    const seen: any[] = [];
    const stream = anthropic.messages.stream(params).on('streamEvent', (event) => seen.push(event));
    const done = await stream.finalMessage();
    expect(done.content[0]).toMatchObject({ type: 'text', text: 'hello' });
    expect(done.usage.output_tokens).toBe(5);
    expect(seen.at(-1)).toEqual({ type: 'message_stop', meritorder: RECEIPT });
    expect(seen.filter((e) => e.type === 'message_stop')).toHaveLength(1);
  });

  it.each([
    ['budget_held', Anthropic.RateLimitError, 'rate_limit_error'],
    ['body_invalid', Anthropic.BadRequestError, 'invalid_request_error'],
    ['route_unknown', Anthropic.NotFoundError, 'not_found_error'],
    ['attribution_conflict', Anthropic.PermissionDeniedError, 'permission_error'],
    ['backend_unavailable', Anthropic.InternalServerError, 'overloaded_error'],
  ] as const)('raises its own error for %s', async (code, kind, type) => {
    world.answer((a) => a.refuse({ code, message: 'm' }));
    const error = await anthropic.messages.create(params).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(kind);
    expect((error as any).error).toMatchObject({ type: 'error', error: { type, code, message: 'm' } });
  });

  it('raises for a wrong key, and for a stream that breaks off', async () => {
    await expect(
      new Anthropic({ baseURL: world.url, apiKey: 'nope', maxRetries: 0 }).messages.create(params),
    ).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    world.answer((a) => {
      a.chunk({
        type: 'message_start',
        message: { ...MESSAGE, content: [], usage: { input_tokens: 1, output_tokens: 1 } },
      });
      a.refuse({ code: 'stream_cut', message: 'lost' });
    });
    await expect(anthropic.messages.stream(params).finalMessage()).rejects.toMatchObject({
      error: { error: { code: 'stream_cut' } },
    });
  });

  it('runs tools as it does unasked: told in the words of Anthropic that no thread is kept, it sends all of a conversation', async () => {
    const call = { type: 'tool_use', id: 'toolu_1', name: 'look', input: {} };
    const said = { type: 'text', text: 'a cat' };
    world.answer(({ body, finish }) => {
      const isFirst = body.messages.length === 1;
      finish({
        ...MESSAGE,
        content: [isFirst ? call : said],
        stop_reason: isFirst ? 'tool_use' : 'end_turn',
        usage: { input_tokens: 1, output_tokens: 1 },
        meritorder: RECEIPT,
      });
    });
    const look = {
      name: 'look',
      input_schema: { type: 'object' },
      run: () => 'a cat',
      parse: (input: unknown) => input,
    };
    const runner = anthropic.beta.messages.toolRunner({
      ...params,
      messages: [{ role: 'user', content: 'Is this a "thread"?' }],
      tools: [look],
    } as never);
    expect((await runner.runUntilDone()).content).toEqual([said]);
    expect(world.outcomes).toEqual(['no_able_backend', 'answered', 'answered']);
    expect(world.asked.map(({ body }) => [body.thread, body.messages.length])).toEqual([
      [undefined, 1],
      [undefined, 3],
    ]);
  });

  it('lists models in its own words', async () => {
    const page = await anthropic.models.list();
    expect(page.data).toEqual([{ type: 'model', id: 'b', display_name: 'b', created_at: '1970-01-01T00:00:00.000Z' }]);
    expect(await anthropic.models.retrieve('b')).toMatchObject({ id: 'b' });
  });
});

it('embeddings go by their kind', async () => {
  world.answer((a) => a.finish({ object: 'list', data: [], meritorder: RECEIPT }));
  expect((await send(world, { path: '/v1/embeddings', body: '{"model":"b","input":"x"}' })).status).toBe(200);
  expect((await next()).header('Meritorder-Kind')).toBe('embeddings');
});

describe('an answer in parts', () => {
  const answer = { object: 'list', data: ['ä'.repeat(50)], meritorder: RECEIPT };
  const bytes = Buffer.from(JSON.stringify(answer));
  const embed = () => send(world, { path: '/v1/embeddings', body: '{"model":"b","input":"x"}' });

  it('is one answer, each part but the last acknowledged', async () => {
    world.answer((a) => {
      // In the midst of letters, too.
      for (let i = 0; i < bytes.length; i += 11) a.part(bytes.subarray(i, i + 11), i / 11, i + 11 >= bytes.length);
    });
    const heard = await embed();
    expect(JSON.parse(heard.text)).toEqual(answer);
    expect(heard.headers['x-meritorder-backend']).toBe('b');
    expect(Number((await next()).header('Meritorder-Max-Answer-Bytes'))).toBeGreaterThan(60_000_000);
    await waitFor(() => world.acknowledged.length > 0, 'acknowledgements');
    expect(Math.max(...world.acknowledged)).toBe(Math.ceil(bytes.length / 11) - 2);
  });

  it('of which one is lost is no answer, and is cancelled', async () => {
    world.answer((a) => {
      a.part(bytes.subarray(0, 11), 0);
      a.part(bytes.subarray(22), 2, true);
    });
    const heard = await embed();
    expect(heard.status).toBe(502);
    expect(errorOf(heard.text)).toMatchObject({
      code: 'stream_cut',
      message: expect.stringContaining('Part 1 was lost'),
    });
    await waitFor(() => world.cancelled.length > 0, 'the cancel');
  });
});

describe('methods beside that of a path', () => {
  const open = { authorization: '' };

  it.each([['/v1/models'], ['/v1/models/b'], ['/health/live'], ['/health/ready'], ['/metrics']])(
    'HEAD %s is answered as GET is, without its body',
    async (path) => {
      const [get, head] = [await send(world, { path, method: 'GET' }), await send(world, { path, method: 'HEAD' })];
      expect(get).toMatchObject({ status: 200, text: expect.stringMatching(/./) });
      expect(head).toMatchObject({ status: 200, text: '' });
      for (const name of ['content-type', 'content-length']) expect(head.headers[name]).toBe(get.headers[name]);
    },
  );

  it('HEAD needs a key where GET does, and is none of POST', async () => {
    expect(await send(world, { path: '/v1/models', method: 'HEAD', headers: open })).toMatchObject({ status: 401 });
    expect(await send(world, { method: 'HEAD' })).toMatchObject({
      status: 405,
      headers: { allow: 'POST, OPTIONS' },
      text: '',
    });
  });

  it.each([
    ['/v1/chat/completions', 'POST, OPTIONS'],
    ['/v1/embeddings', 'POST, OPTIONS'],
    ['/v1/messages', 'POST, OPTIONS'],
    ['/v1/messages/count_tokens', 'POST, OPTIONS'],
    ['/v1/models', 'GET, HEAD, OPTIONS'],
    ['/v1/models/b', 'GET, HEAD, OPTIONS'],
    ['/health/live', 'GET, HEAD, OPTIONS'],
    ['/health/ready', 'GET, HEAD, OPTIONS'],
    ['/metrics', 'GET, HEAD, OPTIONS'],
  ])('OPTIONS %s says %s, and any other method is refused with it', async (path, allow) => {
    const page = { origin: 'https://app.example.com', 'access-control-request-method': 'POST' };
    const options = await send(world, { path, method: 'OPTIONS', headers: { ...open, ...page } });
    expect(options).toMatchObject({ status: 204, headers: { allow }, text: '' });
    // No web page may ask where none is named.
    for (const name of Object.keys(options.headers)) expect(name).not.toMatch(/^access-control-|^vary$/);
    for (const method of ['PUT', 'DELETE', 'PATCH'])
      expect(await send(world, { path, method })).toMatchObject({ status: 405, headers: { allow } });
    expect(world.asked).toEqual([]);
  });

  it('of a path that is not there is unknown, whichever it is', async () => {
    for (const method of ['OPTIONS', 'HEAD', 'GET'])
      expect((await send(world, { path: '/v2/chat', method })).status).toBe(404);
  });
});

it('health and metrics need no key', async () => {
  for (const path of ['/health/live', '/health/ready', '/metrics'])
    expect((await send(world, { path, method: 'GET', headers: { authorization: '' } })).status).toBe(200);
});
