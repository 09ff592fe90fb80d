import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { backendOf, serve, workerFor } from './provider-world.for-tests.js';
import { plain, sendStream } from './raw-server.for-tests.js';

const sse = (...events: object[]): Buffer =>
  Buffer.from([...events.map((event) => `data: ${JSON.stringify(event)}\n\n`), 'data: [DONE]\n\n'].join(''));
const USAGE = { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 };
const chunk = (content: string, more: object = {}) => ({
  id: 'c1',
  model: 'the-model',
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta: { content } }],
  ...more,
});
const CHAT = sse(
  chunk('hello'),
  { ...chunk(''), choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
  {
    ...chunk(''),
    choices: [],
    usage: USAGE,
  },
);

/** One streamed chat at a backend of these fields; what was sent to it, and what came of it. */
async function chat(fields: string, path: string, stream = CHAT) {
  const server = await serve((_request, socket) => sendStream(socket, stream));
  const call = workerFor(backendOf(`${fields}, baseUrl: "${server.url}${path}"`));
  const result = await call({ stream: true });
  return { request: server.requests[0]!, ...result };
}

describe('a chat is asked for in the words of its provider', () => {
  it.each<[string, string, string, object, string]>([
    [
      'OpenAI',
      'provider: openai, apiKeyEnv: K',
      '/v1',
      { max_completion_tokens: 50, stream_options: { include_usage: true } },
      '/v1/chat/completions',
    ],
    ['Mistral', 'provider: mistral, apiKeyEnv: K', '/v1', { max_tokens: 50 }, '/v1/chat/completions'],
    [
      'DeepSeek',
      'provider: deepseek, apiKeyEnv: K',
      '',
      { max_tokens: 50, stream_options: { include_usage: true } },
      '/chat/completions',
    ],
    [
      'Groq',
      'provider: groq, apiKeyEnv: K',
      '/openai/v1',
      { max_tokens: 50, stream_options: { include_usage: true } },
      '/openai/v1/chat/completions',
    ],
    [
      'OpenRouter',
      'provider: openrouter, apiKeyEnv: K',
      '/api/v1/',
      { max_tokens: 50, stream_options: { include_usage: true } },
      '/api/v1/chat/completions',
    ],
    [
      'anybody else',
      'provider: somebody, apiKeyEnv: K',
      '/v1',
      { max_tokens: 50, stream_options: { include_usage: true } },
      '/v1/chat/completions',
    ],
  ])('%s', async (_name, fields, base, expected, path) => {
    const { request, closed } = await chat(fields, base);
    expect(request).toMatchObject({ method: 'POST', path, headers: { authorization: 'Bearer key-1' } });
    expect(request.body).toEqual({
      messages: [{ role: 'user', content: 'hi' }],
      model: 'the-model',
      stream: true,
      ...expected,
    });
    expect(closed).toMatchObject([{ outcome: 'finished', usageBasis: 'reported', usage: { outputTokens: 2 } }]);
  });

  it.each([
    ['/openai/v1', '/openai/v1/chat/completions'],
    [
      '/openai/deployments/the-model?api-version=2024-10-21',
      '/openai/deployments/the-model/chat/completions?api-version=2024-10-21',
    ],
  ])('Azure at %s, with the key in its own header', async (base, path) => {
    const { request } = await chat('provider: azure, protocol: azure, apiKeyEnv: K', base);
    expect(request).toMatchObject({ path, headers: { 'api-key': 'key-1' } });
    expect(request.headers).not.toHaveProperty('authorization');
    expect(request.body).toMatchObject({ max_completion_tokens: 50, stream_options: { include_usage: true } });
  });
});

it('a stream may be as long as it likes, an event may not', async () => {
  const many = Array.from({ length: 5_000 }, () => chunk('a'.repeat(1_000)));
  many[4_999] = { ...chunk(''), choices: [{ index: 0, delta: { content: 'a' }, finish_reason: 'stop' }] } as never;
  const { closed, log } = await chat('provider: x', '', sse(...many, { ...chunk(''), choices: [], usage: USAGE }));
  expect(closed).toMatchObject([{ outcome: 'finished', usageBasis: 'reported' }]);
  expect(log.filter((entry) => entry.startsWith('chunk'))).toHaveLength(5_000);
  const endless = await chat('provider: x', '', Buffer.from(`data: ${'a'.repeat(5_000_000)}`));
  expect(endless.closed).toMatchObject([{ outcome: 'failed', code: 'protocol', sent: true }]);
});

describe('the connection of a stream that has said that it is over', () => {
  const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
  const frame = (bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
  const LAST_FRAME = '0\r\n\r\n';

  /** When the second call may come. */
  const isOver = new Map<Socket, Promise<unknown>>();

  /** Two streams, one after the other, and the connections that they came over. */
  async function twoStreams(afterwards: (socket: Socket) => unknown) {
    const sockets: Socket[] = [];
    const server = await serve((_request, socket) => {
      sockets.push(socket);
      socket.write(HEAD);
      socket.write(frame(CHAT));
      afterwards(socket);
    });
    const call = workerFor(backendOf(`provider: openai, apiKeyEnv: K, baseUrl: "${server.url}/v1"`));
    const first = await call({ stream: true });
    await isOver.get(sockets[0]!);
    const second = await call({ stream: true });
    return { sockets, answers: [first, second] };
  }

  it('takes the next call, also when its last frame comes later', async () => {
    const { sockets, answers } = await twoStreams((socket) => {
      const later = new Promise((r) => setTimeout(r, 30)).then(() => socket.write(LAST_FRAME));
      isOver.set(
        socket,
        later.then(() => new Promise((r) => setTimeout(r, 30))),
      );
    });
    expect(new Set(sockets).size).toBe(1);
    expect(answers.flatMap((a) => a.closed)).toMatchObject([{ outcome: 'finished' }, { outcome: 'finished' }]);
  });

  it.each<[string, (socket: Socket) => unknown]>([
    ['the last frame does not come', () => {}],
    ['more comes than an end', (socket) => socket.write(frame(Buffer.alloc(10_000, 'x')))],
  ])('is closed when %s', async (_what, afterwards) => {
    const { sockets, answers } = await twoStreams((socket) => {
      isOver.set(socket, new Promise((resolve) => socket.once('close', resolve)));
      afterwards(socket);
    });
    expect(new Set(sockets).size).toBe(2);
    expect(answers.flatMap((a) => a.closed)).toMatchObject([{ outcome: 'finished' }, { outcome: 'finished' }]);
  });
});

describe('what Azure says of its content filters', () => {
  it('reaches the caller with the stream', async () => {
    const results = [{ prompt_index: 0, content_filter_results: { hate: { filtered: false, severity: 'safe' } } }];
    const heard: string[] = [];
    const server = await serve((_request, socket) =>
      sendStream(
        socket,
        sse({ choices: [], prompt_filter_results: results }, chunk('hi'), { choices: [], usage: USAGE }),
      ),
    );
    const call = workerFor(backendOf(`provider: azure, protocol: azure, baseUrl: "${server.url}"`));
    await call({ stream: true, onChunk: (_seq, _abort, json) => heard.push(json) });
    expect(JSON.parse(heard[0]!)).toEqual({ choices: [], prompt_filter_results: results });
  });

  it('as a refusal is the end of it: nobody else is asked, and nothing is charged', async () => {
    const error = { code: 'content_filter', message: 'filtered', innererror: { code: 'ResponsibleAIPolicyViolation' } };
    const server = await serve((_request, socket) => socket.write(plain(400, JSON.stringify({ error }))));
    const { sent, closed } = await workerFor(backendOf(`provider: azure, protocol: azure, baseUrl: "${server.url}"`))();
    expect(sent.at(-1)).toMatchObject({ type: 'failed', code: 'content-filter', retryable: false, status: 400 });
    expect(closed).toMatchObject([{ outcome: 'failed', refusedUpstream: true }]);
    expect(closed[0]).not.toHaveProperty('usage');
  });
});

describe('several credentials of one backend', () => {
  const limited = (seconds: number): string =>
    plain(429, '{"error":{"message":"slow down"}}', { 'retry-after': `${seconds}` });
  const choices = [{ index: 0, message: { role: 'assistant', content: '' }, finish_reason: 'stop' }];
  const whole = plain(200, JSON.stringify({ ...chunk(''), object: 'chat.completion', choices, usage: USAGE }));

  it('share its calls, and one that is out of quota is left alone while the other is free', async () => {
    const server = await serve((request, socket) =>
      socket.write(request.headers['authorization'] === 'Bearer key-1' ? limited(30) : whole),
    );
    const call = workerFor(
      backendOf(
        `provider: x, baseUrl: "${server.url}", credentials: [{ id: one, apiKeyEnv: K }, { id: two, apiKeyEnv: K2, baseUrl: "${server.url}/eu" }]`,
      ),
    );
    const first = await call();
    expect(first.sent.at(-1)).toMatchObject({ type: 'failed', code: 'quota', retryable: true, again: true });
    expect(first.closed).toMatchObject([{ refusedUpstream: true }]);
    for (let i = 0; i < 3; i++) expect((await call()).closed).toMatchObject([{ outcome: 'finished' }]);
    expect(server.requests.map((r) => `${r.path} ${r.headers['authorization']}`)).toEqual([
      '/chat/completions Bearer key-1',
      ...Array.from({ length: 3 }, () => '/eu/chat/completions Bearer key-2'),
    ]);
  });

  it('all out of quota are the backend: it is not called, and says when one is free', async () => {
    const server = await serve((request, socket) =>
      socket.write(limited(request.headers['authorization'] === 'Bearer key-1' ? 30 : 20)),
    );
    const call = workerFor(
      backendOf(
        `provider: x, baseUrl: "${server.url}", credentials: [{ id: one, apiKeyEnv: K }, { id: two, apiKeyEnv: K2 }]`,
      ),
    );
    await call();
    const second = (await call()).sent.at(-1) as { retryAfterSeconds: number };
    expect(second).not.toHaveProperty('again');
    expect(second.retryAfterSeconds).toBeGreaterThan(18);
    expect(second.retryAfterSeconds).toBeLessThanOrEqual(20);
    const third = await call();
    expect(third.closed).toMatchObject([{ outcome: 'not-sent', sent: false }]);
    expect(server.requests).toHaveLength(2);
  });

  it('never tells a key that a provider quotes', async () => {
    const server = await serve((request, socket) =>
      socket.write(plain(401, JSON.stringify({ error: { message: `bad ${request.headers['authorization']}` } }))),
    );
    const { sent } = await workerFor(backendOf(`provider: x, baseUrl: "${server.url}", apiKeyEnv: K`))();
    expect(sent.at(-1)).toMatchObject({ code: 'credential', message: expect.stringContaining('401') });
    expect(JSON.stringify(sent)).not.toContain('key-1');
  });
});
