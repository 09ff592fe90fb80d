import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { PriceVersion } from '@meritorder/contracts';
import { usdToNanos } from '@meritorder/kernel';
import { boundNanos, boundOf, rate } from '@meritorder/pricing-core';
import { startSimulator, type Simulator } from '@meritorder/provider-simulator';
import { waitFor } from '@meritorder/testing';
import { readUsage, totalTokensOf } from '@meritorder/usage-core';
import { price } from '../application/attempt-world.for-tests.js';
import { backendOf, serve, workerFor } from './provider-world.for-tests.js';
import { plain, sendStream } from './raw-server.for-tests.js';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

const ANTHROPIC = 'provider: anthropic, protocol: anthropic, kinds: [messages], apiKeyEnv: K';
/** Cache reads a tenth, writes of 5 minutes 1.25 times, of an hour twice the input. */
const cash: PriceVersion['cash'] = {
  inputPicosPerToken: '1000000',
  cacheReadPicosPerToken: '100000',
  cacheWrite5mPicosPerToken: '1250000',
  cacheWrite1hPicosPerToken: '2000000',
  outputPicosPerToken: '10000000',
  requestPicos: '0',
};
const PRICE: PriceVersion = { ...price, cash, full: cash };

const SYSTEM = 'The handbook says so, and it says it at length. '.repeat(120);
const body = (ttl?: '5m' | '1h', words = 20) => ({
  model: 'whatever the client called it',
  max_tokens: 100,
  system: [{ type: 'text', text: SYSTEM, cache_control: { type: 'ephemeral', ...(ttl ? { ttl } : {}) } }],
  messages: [{ role: 'user', content: `Write ${words} words.` }],
});

const MESSAGE = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'the-model',
  content: [{ type: 'text', text: 'hello' }],
  stop_reason: 'end_turn',
};

const frame = (event: { type: string }): string => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
const events = (...all: { type: string; [more: string]: unknown }[]): Buffer => Buffer.from(all.map(frame).join(''));
const START = {
  type: 'message_start',
  message: { ...MESSAGE, content: [], usage: { input_tokens: 9, output_tokens: 1 } },
};
const PING = { type: 'ping' };
const OVERLOADED = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
const BLOCK = { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } };
const DELTA = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'hello' } };

describe('messages at Anthropic', () => {
  it('arrive as they came, cache marks of 5 minutes and an hour included, with the headers of its protocol', async () => {
    const server = await serve((_request, socket) =>
      socket.write(plain(200, JSON.stringify({ ...MESSAGE, usage: { input_tokens: 3, output_tokens: 1 } }))),
    );
    const call = workerFor(
      backendOf(
        `${ANTHROPIC}, baseUrl: "${server.url}/v1", betas: [context-management-2025-06-27, files-api-2025-04-14]`,
      ),
    );
    for (const ttl of ['5m', '1h'] as const) {
      await call({ kind: 'messages', body: body(ttl) });
      expect(server.requests.at(-1)).toMatchObject({
        path: '/v1/messages',
        headers: {
          'x-api-key': 'key-1',
          'anthropic-version': '2023-06-01',
          'anthropic-beta': 'context-management-2025-06-27,files-api-2025-04-14',
        },
      });
      expect(server.requests.at(-1)!.body).toEqual({ ...body(ttl), model: 'the-model', stream: false });
    }
  });

  it('name the features that the client asks for, where they cost nothing or the backend allows them', async () => {
    const server = await serve((_request, socket) =>
      socket.write(plain(200, JSON.stringify({ ...MESSAGE, usage: { input_tokens: 3, output_tokens: 1 } }))),
    );
    const url = `${ANTHROPIC}, baseUrl: "${server.url}/v1"`;
    const betas = ['interleaved-thinking-2025-05-14', 'context-1m-2025-08-07', 'fast-mode-2026-02-01'];
    for (const [config, told] of [
      ['', 'interleaved-thinking-2025-05-14'],
      [', betas: [files-api-2025-04-14]', 'files-api-2025-04-14,interleaved-thinking-2025-05-14'],
      [', clientBetas: [context-1m-2025-08-07]', 'interleaved-thinking-2025-05-14,context-1m-2025-08-07'],
    ]) {
      await workerFor(backendOf(url + config))({ kind: 'messages', body: { ...body('5m'), betas } });
      const { headers, body: sent } = server.requests.at(-1)!;
      expect(headers['anthropic-beta']).toBe(told);
      expect(sent).not.toHaveProperty('betas');
    }
  });

  it('name a call that another backend made by an id that Anthropic takes', async () => {
    const server = await serve((_request, socket) =>
      socket.write(plain(200, JSON.stringify({ ...MESSAGE, usage: { input_tokens: 3, output_tokens: 1 } }))),
    );
    const id = 'functions.weather:0';
    const messages = [
      { role: 'user', content: 'Is it sunny?' },
      { role: 'assistant', content: [{ type: 'tool_use', id, name: 'weather', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: 'sunny' }] },
    ];
    const call = workerFor(backendOf(`${ANTHROPIC}, baseUrl: "${server.url}/v1"`));
    await call({ kind: 'messages', body: { model: 'm', max_tokens: 9, messages } });
    const [asked, used, result] = (server.requests[0]!.body as any).messages;
    expect(asked).toEqual(messages[0]);
    expect(used.content[0].id).toMatch(/^[a-zA-Z0-9_-]+$/);
    expect(result.content[0].tool_use_id).toBe(used.content[0].id);
  });

  it.each([true, false])(
    'streamed %s: cached or not, the receipt is what is invoiced, to the nano-USD',
    async (stream) => {
      const prices = { input: '1', cachedInput: '0.1', cacheWrite: '1.25', output: '10' };
      const simulator: Simulator = await startSimulator({ models: { 'the-model': { prices, promptCache: true } } });
      stops.push(() => simulator.stop());
      const call = workerFor(backendOf(`${ANTHROPIC}, baseUrl: "${simulator.url}/v1"`));
      const read: number[] = [];
      for (let i = 1; i <= 2; i++) {
        const { closed, finished } = await call({ kind: 'messages', stream, body: body(), work: { price: PRICE } });
        await waitFor(() => simulator.invoice().lines.length === i, 'a line on the invoice');
        const line = simulator.invoice().lines[i - 1]!;
        expect(closed[0]).toMatchObject({ outcome: 'finished', usageBasis: 'reported', providerCallId: line.callId });
        expect(usdToNanos(finished[0].meritorder.cost.usd).toString()).toBe(line.nanoUsd);
        read.push(closed[0]!.usage!.cacheReadTokens);
      }
      expect(read[0]).toBe(0);
      expect(read[1]).toBeGreaterThan(0);
    },
  );

  it('overloaded before anything was said go elsewhere, although the stream had begun', async () => {
    const server = await serve((_request, socket) => sendStream(socket, events(START, PING, OVERLOADED)));
    const { log, sent, closed } = await workerFor(backendOf(`${ANTHROPIC}, baseUrl: "${server.url}"`))({
      kind: 'messages',
      stream: true,
    });
    expect(log.filter((entry) => entry.startsWith('chunk'))).toEqual([]);
    expect(sent.at(-1)).toMatchObject({ type: 'failed', code: 'server-error', retryable: true, message: 'Overloaded' });
    // It may have been charged for: nobody says that it was not.
    expect(closed).toMatchObject([{ outcome: 'failed', refusedUpstream: false, usageBasis: 'estimated' }]);
  });

  it('overloaded after something was said end with an error, and nothing is confirmed', async () => {
    const server = await serve((_request, socket) => sendStream(socket, events(START, BLOCK, DELTA, OVERLOADED)));
    const { log, closed } = await workerFor(backendOf(`${ANTHROPIC}, baseUrl: "${server.url}"`))({
      kind: 'messages',
      stream: true,
    });
    expect(log).toContain('error stream_cut');
    expect(closed).toMatchObject([{ outcome: 'failed', usageBasis: 'estimated', usage: { inputTokens: 9 } }]);
  });

  it('refused with 529 go elsewhere and cost nothing', async () => {
    const server = await serve((_request, socket) => socket.write(plain(529, JSON.stringify(OVERLOADED))));
    const { sent, closed } = await workerFor(backendOf(`${ANTHROPIC}, baseUrl: "${server.url}"`))({ kind: 'messages' });
    expect(sent.at(-1)).toMatchObject({ code: 'server-error', retryable: true, status: 529 });
    expect(closed).toMatchObject([{ refusedUpstream: true }]);
    expect(closed[0]).not.toHaveProperty('usage');
    expect(server.requests).toHaveLength(1);
  });
});

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

it.skipIf(!data)(
  'what recorded answers wrote to the cache lies within the bound of their input (MERITORDER_TEST_DATA)',
  () => {
    const rows = readFileSync(join(data!, 'responses/recorded/anthropic.jsonl'), 'utf8').split('\n').filter(Boolean);
    let written = 0;
    for (const row of rows) {
      const { response } = JSON.parse(row) as { response?: unknown };
      const { usage } = readUsage('anthropic-messages', response);
      if (!usage) continue;
      const output = usage.outputTokens;
      const inputTokensBound = totalTokensOf(usage) - output;
      const held = boundNanos(boundOf(PRICE, { inputTokensBound, choices: 1 }).cash, output);
      // Even if all of it had been written, for an hour.
      const { cashNanos } = rate(PRICE, usage, { atMs: 0 });
      const dearest = {
        ...usage,
        inputTokens: 0,
        cacheReadTokens: 0,
        cacheWrite5mTokens: 0,
        cacheWrite1hTokens: inputTokensBound,
      };
      expect(cashNanos).toBeLessThanOrEqual(held);
      expect(rate(PRICE, dearest, { atMs: 0 }).cashNanos).toBeLessThanOrEqual(held);
      written += usage.cacheWrite5mTokens + usage.cacheWrite1hTokens;
    }
    expect(written).toBeGreaterThan(0);
  },
);
