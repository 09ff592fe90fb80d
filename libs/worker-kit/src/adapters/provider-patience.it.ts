import { setTimeout as after } from 'node:timers/promises';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { Kind } from '@meritorder/contracts';
import { backendOf, serve, workerFor, type Call } from './provider-world.for-tests.js';
import { plain } from './raw-server.for-tests.js';

interface Wire {
  name: string;
  backend: string;
  kind: Kind;
  /** What begins a stream, what says something, what does not, and what ends the stream. */
  opening: string;
  token: string;
  ping: string;
  end: string;
}
const OPENAI = {
  kind: 'chat' as const,
  opening: `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] })}\n\n`,
  token: `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content: 'hi' } }] })}\n\n`,
  ping: ': keep-alive\n\n',
  end: `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\ndata: [DONE]\n\n`,
};
const event = (body: { type: string; [more: string]: unknown }): string =>
  `event: ${body.type}\ndata: ${JSON.stringify(body)}\n\n`;
const WIRES: Wire[] = [
  { name: 'openai', backend: 'provider: x', ...OPENAI },
  { name: 'azure', backend: 'provider: azure, protocol: azure', ...OPENAI },
  {
    name: 'anthropic',
    backend: 'provider: anthropic, protocol: anthropic, kinds: [messages]',
    kind: 'messages',
    opening: event({ type: 'message_start', message: { id: 'm', usage: { input_tokens: 3, output_tokens: 1 } } }),
    token: event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'hi' } }),
    ping: event({ type: 'ping' }),
    end: event({ type: 'message_stop' }),
  },
];

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n';
const LONG = 30_000;
const SHORT = 150;

/** Says the same again and again until whoever listens is gone. */
async function repeat(socket: Socket, text: string): Promise<void> {
  while (!socket.destroyed) {
    socket.write(text);
    await after(10);
  }
}

interface Limits {
  connect?: number;
  firstToken?: number;
  betweenTokens?: number;
}

async function call(
  { backend, kind }: Pick<Wire, 'backend' | 'kind'>,
  answer: (socket: Socket) => unknown,
  { connect = LONG, firstToken = LONG, betweenTokens = LONG }: Limits,
  more: Call = {},
  scheme = 'http',
) {
  const server = await serve((_request, socket) => answer(socket));
  const limits = `connectTimeoutMs: ${connect}, firstTokenTimeoutMs: ${firstToken}, betweenTokensTimeoutMs: ${betweenTokens}`;
  const url = server.url.replace('http', scheme);
  return workerFor(backendOf(`${backend}, baseUrl: "${url}", ${limits}`))({
    kind,
    stream: true,
    ...more,
  });
}

describe.each(WIRES)('the patience of a call over $name', (wire) => {
  it('ends when no connection comes about: nothing was sent, nothing is charged, others are asked', async () => {
    // It takes the connection and never shakes hands.
    const { sent, closed } = await call(wire, () => {}, { connect: SHORT }, {}, 'https');
    expect(sent.at(-1)).toMatchObject({ type: 'failed', code: 'connect', retryable: true });
    expect(closed).toMatchObject([{ outcome: 'not-sent', sent: false }]);
  });

  it.each([
    ['silent', () => {}],
    ['that pings', (socket: Socket) => (socket.write(HEAD), repeat(socket, wire.ping))],
    ['that begins, and then pings', (socket: Socket) => (socket.write(HEAD + wire.opening), repeat(socket, wire.ping))],
  ])('ends when no first token comes from a backend %s: others are asked', async (_how, answer) => {
    const { sent, closed } = await call(wire, answer, { firstToken: SHORT });
    expect(sent.at(-1)).toMatchObject({ code: 'timeout', message: 'no first token in time', retryable: true });
    expect(closed).toMatchObject([{ outcome: 'failed', sent: true, refusedUpstream: false }]);
  });

  it('is that of a first token until something is said, whatever empty chunk came first', async () => {
    const { closed } = await call(
      wire,
      (socket) => {
        socket.write(HEAD + wire.opening);
        setTimeout(() => socket.end(wire.token + wire.end), 3 * SHORT);
      },
      { firstToken: LONG, betweenTokens: SHORT },
    );
    expect(closed).toMatchObject([{ outcome: 'finished' }]);
  });

  it('ends when a token comes and no other, whatever pings come: the caller is told', async () => {
    const { log, closed } = await call(wire, (socket) => (socket.write(HEAD + wire.token), repeat(socket, wire.ping)), {
      betweenTokens: SHORT,
    });
    expect(log).toContain('chunk 0');
    expect(log).toContain('error stream_cut');
    expect(closed).toMatchObject([{ outcome: 'failed', code: 'timeout', sent: true }]);
  });

  it.each([true, false])('ends with the deadline of the request, streamed %s', async (stream) => {
    const { closed, log } = await call(
      wire,
      (socket) => stream && (socket.write(HEAD), repeat(socket, wire.token)),
      // An answer that is not streamed says nothing until all of it is there.
      stream ? {} : { firstToken: 1, betweenTokens: 1 },
      { stream, deadlineInMs: 2 * SHORT },
    );
    expect(closed).toMatchObject([{ outcome: 'failed', code: 'timeout', sent: true }]);
    expect(log).toContain(stream ? 'error stream_cut' : 'failed');
  });

  it('is not used up by a caller who reads slowly', async () => {
    let seen = 0;
    const { closed } = await call(
      wire,
      (socket) => socket.end(HEAD + wire.token.repeat(3) + wire.end),
      { firstToken: LONG, betweenTokens: SHORT },
      { onChunk: (_seq, _abort, json) => (json.includes('"hi"') && ++seen === 1 ? after(3 * SHORT) : undefined) },
    );
    expect(seen).toBe(3);
    expect(closed).toMatchObject([{ outcome: 'finished' }]);
  });
});

const FAILURES: [string, (socket: Socket, wire: Wire) => unknown][] = [
  ['500', (socket) => socket.write(plain(500, '{}'))],
  ['503 with Retry-After: 0', (socket) => socket.write(plain(503, '{}', { 'retry-after': '0' }))],
  ['429 with Retry-After: 0', (socket) => socket.write(plain(429, '{}', { 'retry-after': '0' }))],
  ['408', (socket) => socket.write(plain(408, '{}'))],
  ['a redirect', (socket) => socket.write(plain(307, '', { location: '/elsewhere' }))],
  ['a closed connection', (socket) => socket.end()],
  ['a reset', (socket) => socket.resetAndDestroy()],
  ['half a head', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-')],
  ['what is not HTTP', (socket) => socket.end('SSH-2.0-x\r\n\r\n')],
  [
    'a stream that is cut',
    (socket, { token }) =>
      socket.end(
        HEAD.replace('close', 'keep-alive\r\ntransfer-encoding: chunked') +
          `${token.length.toString(16)}\r\n${token}\r\n`,
      ),
  ],
  ['half a body', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{')],
];

describe.each(WIRES)('nothing is tried again over $name', (wire) => {
  it.each(FAILURES)('after %s: an attempt is one physical call', async (_what, fail) => {
    const server = await serve((_request, socket) => fail(socket, wire));
    const attempt = workerFor(backendOf(`${wire.backend}, baseUrl: "${server.url}"`));
    for (const stream of [true, false]) {
      const { closed } = await attempt({ kind: wire.kind, stream });
      expect(closed[0]!.outcome).not.toBe('finished');
      expect(server.requests.splice(0)).toHaveLength(1);
    }
  });

  it('not even where a connection that was kept alive is closed as soon as it is used', async () => {
    let calls = 0;
    const server = await serve((_request, socket) => {
      // Kept alive once, and closed as soon as it is used again.
      if (++calls === 1) socket.write(plain(200, '{"id":"c","type":"message"}'));
      else socket.destroy();
    });
    const attempt = workerFor(backendOf(`${wire.backend}, baseUrl: "${server.url}"`));
    await attempt({ kind: wire.kind });
    const { closed } = await attempt({ kind: wire.kind });
    expect(closed).toMatchObject([{ outcome: 'failed', code: 'cut', sent: true }]);
    expect(calls).toBe(2);
  });
});
