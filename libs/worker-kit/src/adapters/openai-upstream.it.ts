import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { BackendConfig, PriceVersion } from '@meritorder/contracts';
import { usdToNanos } from '@meritorder/kernel';
import { startSimulator, type Simulator, type SimulatorConfig } from '@meritorder/provider-simulator';
import { waitFor } from '@meritorder/testing';
import { attempt, credentialed, price, terms, type World } from '../application/attempt-world.for-tests.js';
import type { Upstream } from '../application/ports.js';
import { plain, rawServer, sendStream, type SendOptions } from './raw-server.for-tests.js';
import { OPENAI_EMBEDDINGS, OpenAiUpstream } from './openai-upstream.js';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

function wire(url: string, upstream = new OpenAiUpstream()): Upstream {
  stops.push(() => upstream.close());
  return credentialed(upstream, [{ id: 'default', baseUrl: `${url}/v1` }]);
}

type Model = Partial<SimulatorConfig['models'][string]>;

async function simulate(model: Model = {}): Promise<Simulator> {
  const prices = { input: '1', cachedInput: '0.1', output: '10', perRequest: '0.000001' };
  const simulator = await startSimulator({ models: { m: { prices, ...model } } });
  stops.push(() => simulator.stop());
  return simulator;
}

/** The simulator's prices. */
const cash: PriceVersion['cash'] = {
  inputPicosPerToken: '1000000',
  cacheReadPicosPerToken: '100000',
  cacheWrite5mPicosPerToken: '1000000',
  cacheWrite1hPicosPerToken: '1000000',
  outputPicosPerToken: '10000000',
  requestPicos: '1000000',
};
/** As the simulator counts "Write ... words." */
const INPUT_TOKENS = 10;

function call(url: string, words: number, stream: boolean, world: World = {}) {
  const backend: Partial<BackendConfig> = {
    id: 'm',
    model: 'm',
    kind: 'local',
    connectTimeoutMs: 5_000,
    firstTokenTimeoutMs: 20_000,
    betweenTokensTimeoutMs: 20_000,
  };
  return attempt({
    wire: wire(url),
    stream,
    nowMs: Date.now(),
    backend,
    ...world,
    work: {
      terms: { ...terms, deadlineAt: new Date(Date.now() + 30_000).toISOString() },
      body: { messages: [{ role: 'user', content: `Write ${words} words.` }] },
      price: { ...price, cash, full: cash },
      inputTokensExpected: INPUT_TOKENS,
      ...world.work,
    },
  });
}

async function invoiced(simulator: Simulator) {
  await waitFor(() => simulator.invoice().lines.length > 0, 'a line on the invoice');
  return simulator.invoice().lines[0]!;
}

describe('a call over the OpenAI wire', () => {
  it.each([true, false])('streamed %s: the receipt is what the provider invoices, to the nano-USD', async (stream) => {
    const simulator = await simulate();
    const { closed, finished } = await call(simulator.url, 27, stream);
    const line = await invoiced(simulator);
    expect(closed[0]).toMatchObject({ outcome: 'finished', usageBasis: 'reported', providerCallId: line.callId });
    expect(usdToNanos(finished[0].meritorder.cost.usd).toString()).toBe(line.nanoUsd);
    expect(finished[0].meritorder.cost.basis).toBe('confirmed');
  });

  it.each([true, false])(
    'streamed %s, from a backend that never sends usage: counted here and marked (pitfall 18)',
    async (stream) => {
      const simulator = await simulate({ omitUsage: 'always' });
      const { closed, finished } = await call(simulator.url, 200, stream);
      expect(closed[0]).toMatchObject({
        outcome: 'finished',
        usageBasis: 'estimated',
        usage: { inputTokens: INPUT_TOKENS },
      });
      expect(closed[0]!.usage!.outputTokens).toBeGreaterThanOrEqual((await invoiced(simulator)).outputTokens);
      expect(finished[0].meritorder.cost.basis).toBe('estimated');
    },
  );
});

describe('a client that leaves (pitfall 13)', () => {
  const slow: Model = { outputTokensPerSecond: 2_000, wordsPerChunk: 2 };

  it.each([
    ['in the middle', 5],
    ['after the first chunk', 0],
  ])('%s of a stream pays for what it was sent, and no more', async (_when, seq) => {
    const simulator = await simulate(slow);
    const { closed, log } = await call(simulator.url, 20_000, true, {
      onChunk: (at, abort) => at === seq && abort.abort('cancelled'),
    });
    const line = await invoiced(simulator);
    expect(line.outcome).toBe('cancelled');
    expect(closed[0]).toMatchObject({
      outcome: 'cancelled',
      usageBasis: 'estimated',
      usage: { inputTokens: line.inputTokens },
      servedModel: 'm',
      providerCallId: line.callId,
    });
    const chunks = log.filter((entry) => entry.startsWith('chunk')).length;
    expect(chunks).toBeLessThan(50);
    // A made-up word of the simulator is one token to it and up to four by the classes of its characters.
    expect(closed[0]!.usage!.outputTokens).toBeLessThanOrEqual(chunks * 2 * 4);
  });

  it('before the first byte of a stream pays for the input at most', async () => {
    const simulator = await simulate({ ...slow, firstTokenMs: 60_000 });
    const { closed } = await call(simulator.url, 5, true, {
      onCall: (abort) =>
        void waitFor(() => simulator.control.stats().models['m']!.running === 1, 'the call').then(() =>
          abort.abort('cancelled'),
        ),
    });
    expect(closed[0]).toMatchObject({
      outcome: 'cancelled',
      sent: true,
      usageBasis: 'estimated',
      usage: { inputTokens: INPUT_TOKENS, outputTokens: 0 },
    });
  });

  it('before an answer that is not streamed has come: its bound stands', async () => {
    const simulator = await simulate({ outputTokensPerSecond: 1_000 });
    const { closed } = await call(simulator.url, 50_000, false, {
      onCall: (abort) =>
        void waitFor(() => simulator.control.stats().models['m']!.promptTokens > 0, 'the call').then(() =>
          abort.abort('cancelled'),
        ),
    });
    expect(closed[0]).toMatchObject({ outcome: 'cancelled', sent: true });
    expect(closed[0]!.usage).toBeUndefined();
  });

  it('after the last chunk of a stream pays for all of it, by what the provider counted where that was heard', async () => {
    const simulator = await simulate();
    const { closed } = await call(simulator.url, 30, true, {
      onChunk: (_seq, abort, json) => json.includes('"finish_reason":"stop"') && abort.abort('cancelled'),
    });
    const line = await invoiced(simulator);
    expect(line.outputTokens).toBe(30);
    const { usage, usageBasis } = closed[0]!;
    expect(usage!.inputTokens).toBe(line.inputTokens);
    if (usageBasis === 'reported') expect(usage!.outputTokens).toBe(30);
    else expect(usage!.outputTokens).toBeGreaterThanOrEqual(30);
  });

  it('a stream that the backend cuts is what reached the client', async () => {
    const simulator = await simulate({ cutStreamRate: 1 });
    const { closed } = await call(simulator.url, 100, true);
    const line = await invoiced(simulator);
    expect(closed[0]).toMatchObject({ outcome: 'failed', code: 'cut', usageBasis: 'estimated' });
    expect(closed[0]!.usage!.outputTokens).toBeGreaterThanOrEqual(line.outputTokens);
    expect(closed[0]!.usage!.outputTokens).toBeLessThanOrEqual(line.outputTokens * 4 + 4);
  });
});

describe('chunks on their way to the caller', () => {
  const OLLAMA = [
    '{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}',
    '{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "a", "arguments": "{}"}}]}}]}',
    '{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c2", "function": {"name": "b", "arguments": "{}"}}]}}]}',
    '{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}',
  ];

  async function heardOf(chunks: readonly string[], includeUsage: boolean): Promise<string[]> {
    const server = await rawServer((_request, socket) =>
      sendStream(socket, Buffer.from([...chunks, '[DONE]'].map((chunk) => `data: ${chunk}\n\n`).join(''))),
    );
    stops.push(() => server.stop());
    const heard: string[] = [];
    await call(server.url, 1, true, {
      work: { includeUsage },
      onChunk: (_seq, _abort, json) => heard.push(json),
    });
    return heard;
  }
  const callsIn = (chunk: string): any[] => JSON.parse(chunk).choices[0].delta.tool_calls;

  it('two calls with the same index get one each; every other chunk is the bytes that came', async () => {
    const heard = await heardOf(OLLAMA, true);
    expect(heard.toSpliced(2, 1)).toEqual(OLLAMA.toSpliced(2, 1));
    expect(callsIn(heard[2]!)).toEqual([{ index: 1, id: 'c2', function: { name: 'b', arguments: '{}' } }]);
  });

  it('the same in a chunk that loses a usage block that was not asked for', async () => {
    const counted = OLLAMA.map(
      (chunk) => `${chunk.slice(0, -1)}, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}`,
    );
    const heard = await heardOf(counted, false);
    expect(heard.join('')).not.toContain('usage');
    expect(heard.slice(1, 3).flatMap(callsIn)).toMatchObject([
      { index: 0, id: 'c1' },
      { index: 1, id: 'c2' },
    ]);
  });

  it('every chunk of a head comes with the first word, in order and as it was, however many choices there are', async () => {
    const role = (index: number) =>
      `{"choices": [{"index": ${index}, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}`;
    const word = '{"choices": [{"index": 1, "delta": {"content": "hi"}}]}';
    const ends = [0, 1].map((index) => `{"choices": [{"index": ${index}, "delta": {}, "finish_reason": "stop"}]}`);
    const filter = '{"choices": [], "prompt_filter_results": []}';
    const all = [filter, role(0), role(1), word, ...ends];
    expect(await heardOf(all, true)).toEqual(all);
    // A stream that ends without a choice is an answer, too.
    expect(await heardOf([filter], true)).toEqual([filter]);
  });

  it('a stream that breaks after its head has said nothing: another backend is asked', async () => {
    const server = await rawServer((_request, socket) =>
      sendStream(socket, Buffer.from(`data: ${OLLAMA[0]}\n\n`), { framing: 'until-close' }),
    );
    stops.push(() => server.stop());
    const { log, sent } = await call(server.url, 1, true);
    expect(log.filter((entry) => entry.startsWith('chunk'))).toEqual([]);
    expect(sent.at(-1)).toMatchObject({ type: 'failed', code: 'cut', retryable: true });
  });

  it('calls whose indexes are right are the bytes that came', async () => {
    const right = OLLAMA.map((chunk, i) =>
      i === 2 ? chunk.replace('[{"index": 0, "id"', '[{"index": 1, "id"') : chunk,
    );
    expect(await heardOf(right, true)).toEqual(right);
  });
});

describe('the end of an answer', () => {
  const USAGE = '"usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}';
  const text = '{"choices": [{"index": 0, "delta": {"role": "assistant", "content": "all is fine"}}]}';
  const end = (reason: string | null, more = '') =>
    `{"choices": [{"index": 0, "delta": {}, "finish_reason": ${JSON.stringify(reason)}}]${more}}`;
  const counted = `{"choices": [], ${USAGE}}`;
  const DONE = '[DONE]';

  async function streamed(events: readonly string[], options: SendOptions = {}, body: object = {}) {
    const bytes = Buffer.from(events.map((event) => `data: ${event}\n\n`).join(''));
    const server = await rawServer((_request, socket) => sendStream(socket, bytes, options));
    stops.push(() => server.stop());
    const heard: string[] = [];
    const seen = await call(server.url, 1, true, {
      work: { body: { messages: [{ role: 'user', content: 'x' }], ...body } },
      onChunk: (_seq, _abort, json) => heard.push(json),
    });
    return { ...seen, heard };
  }

  it.each([
    ['in a chunk of its own', [text, end('stop'), counted]],
    ['with the last word (Perplexity)', [text, end('stop', `, ${USAGE}`)]],
  ])('may come without [DONE], where all was said, its usage %s', async (_where, events) => {
    const { closed, finished } = await streamed(events);
    expect(closed).toMatchObject([{ outcome: 'finished', usageBasis: 'reported', usage: { outputTokens: 5 } }]);
    expect(finished).toHaveLength(1);
  });

  it.each<[string, string[], SendOptions, object]>([
    ['its usage is missing', [text, end('stop')], {}, {}],
    ['its end is missing', [text, counted], {}, {}],
    ['a choice is missing', [text, end('stop'), counted], {}, { n: 2 }],
    ['the end of the connection is all that ends it', [text, end('stop'), counted], { framing: 'until-close' }, {}],
  ])('without [DONE] is a cut where %s', async (_what, events, options, body) => {
    const { closed, log } = await streamed(events, options, body);
    expect(closed).toMatchObject([{ outcome: 'failed', code: 'cut' }]);
    expect(log).toContain('error stream_cut');
  });

  it.each(['insufficient_system_resource', 'error', 'abort', null])(
    'by %j is none: the caller has no such end, what was counted is booked, and of nothing that was said another is asked',
    async (reason) => {
      const { closed, log, heard } = await streamed([text, end(reason), counted, DONE]);
      expect(heard.slice(0, 1)).toEqual([text]);
      if (reason !== null) expect(heard).toHaveLength(1);
      expect(closed).toMatchObject([
        { outcome: 'failed', code: 'cut', usageBasis: 'reported', usage: { outputTokens: 5 } },
      ]);
      expect(log).toContain('error stream_cut');
      if (reason === null) return;
      const { sent, heard: nothing } = await streamed([end(reason), counted, DONE]);
      expect(nothing).toEqual([]);
      expect(sent.at(-1)).toMatchObject({ type: 'failed', code: 'cut', retryable: true });
    },
  );

  it.each(['error', null])(
    'of a whole answer by %j is none: another is asked, what was counted is booked',
    async (reason) => {
      const body = `{"choices": [{"message": {"content": "all"}, "finish_reason": ${JSON.stringify(reason)}}], ${USAGE}}`;
      const server = await rawServer((_request, socket) => socket.write(plain(200, body)));
      stops.push(() => server.stop());
      const { sent, closed } = await call(server.url, 1, false);
      expect(sent.at(-1)).toMatchObject({ type: 'failed', code: 'cut', retryable: true });
      expect(closed).toMatchObject([{ outcome: 'failed', usageBasis: 'reported', usage: { outputTokens: 5 } }]);
    },
  );

  it('by a reason of the server’s own is the end of an answer', async () => {
    const { closed, heard } = await streamed([text, end('eos_token'), counted, DONE]);
    expect(closed).toMatchObject([{ outcome: 'finished' }]);
    expect(heard).toEqual([text, end('eos_token')]);
  });
});

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

describe.skipIf(!data)('recorded streams of engines without a usage block (MERITORDER_TEST_DATA)', () => {
  async function replay(sse: string): Promise<string> {
    const server: Server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(sse);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const recorded = (name: string) => readFileSync(join(data!, 'responses/recorded', name), 'utf8');

  it('vLLM: the command it called is counted here', async () => {
    const url = await replay(recorded('vllm-stream-no-usage.sse'));
    const { closed, finished } = await call(url, 1, true);
    expect(closed[0]).toMatchObject({
      outcome: 'finished',
      usageBasis: 'estimated',
      usage: { inputTokens: INPUT_TOKENS },
    });
    expect(closed[0]!.usage!.outputTokens).toBeGreaterThan(0);
    expect(finished[0].meritorder.cost.basis).toBe('estimated');
  });

  it('llama-server: the timings of its last chunk are the usage, and how fast it was', async () => {
    const chunk = recorded('llama-server-final-chunk.json');
    const url = await replay(`data: ${chunk.trim()}\n\ndata: [DONE]\n\n`);
    const { closed, finished } = await call(url, 1, true);
    const { timings } = JSON.parse(chunk) as { timings: Record<string, number> };
    expect(closed[0]).toMatchObject({
      usageBasis: 'engine-timings',
      usage: {
        inputTokens: timings['prompt_n'],
        cacheReadTokens: timings['cache_n'],
        outputTokens: timings['predicted_n'],
      },
      timings: { prefillMs: timings['prompt_ms'], decodeMs: timings['predicted_ms'] },
    });
    expect(finished[0].meritorder.cost.basis).toBe('confirmed');
  });
});

describe('embeddings', () => {
  it('are asked for at their own path with nothing added, and cost what the invoice says', async () => {
    const simulator = await simulate({ kind: 'embedding' });
    const upstream = wire(simulator.url, new OpenAiUpstream(OPENAI_EMBEDDINGS));
    const { closed, finished } = await call(simulator.url, 0, false, {
      wire: upstream,
      work: {
        terms: { ...terms, kind: 'embeddings', deadlineAt: new Date(Date.now() + 30_000).toISOString() },
        body: { input: ['one two', [1, 2, 3]], dimensions: 8, encoding_format: 'float' },
      },
    });
    const { data, object, meritorder } = finished[0];
    expect({ object, vectors: data.map((d: { embedding: number[] }) => d.embedding.length) }).toEqual({
      object: 'list',
      vectors: [8, 8],
    });
    expect(closed).toMatchObject([{ usage: { inputTokens: 5, outputTokens: 0, requests: 1 }, usageBasis: 'reported' }]);
    const line = await invoiced(simulator);
    expect(line).toMatchObject({ inputTokens: 5, outputTokens: 0 });
    expect(usdToNanos(meritorder.cost.usd).toString()).toBe(line.nanoUsd);
  });
});
