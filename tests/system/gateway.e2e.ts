import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import Anthropic from '@anthropic-ai/sdk';
import { HumanMessage } from '@langchain/core/messages';
import { tool as langChainTool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { waitFor } from '@meritorder/testing';
import { embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ACME_KEY, GLOBEX_KEY, post, startGatewayProduct } from './gateway-product.js';
import { startScriptedProvider, type ScriptedProvider } from './scripted-provider.js';

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let scripted: ScriptedProvider;
let openai: OpenAI;

const EVERYTHING = ['streaming', 'tools', 'json', 'choices', 'logprobs', 'vision'];
const WEATHER = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
} as const;
const TOOL = {
  type: 'function' as const,
  function: { name: 'weather', description: 'of a city', parameters: WEATHER },
};
const SCHEMA = {
  type: 'object',
  properties: { city: { type: 'string' }, degrees: { type: 'number' } },
  required: ['city', 'degrees'],
  additionalProperties: false,
} as const;
const say = (text: string) => [{ role: 'user' as const, content: text }];

beforeAll(async () => {
  scripted = await startScriptedProvider();
  product = await startGatewayProduct({
    backends: [
      { id: 'quick' },
      { id: 'able', config: { baseUrl: scripted.url, capabilities: EVERYTHING, maxTokensPerImage: 1_000 } },
      {
        id: 'native',
        config: {
          protocol: 'anthropic',
          apiKeyEnv: 'PROVIDER_KEY',
          capabilities: ['streaming', 'tools', 'vision'],
          maxTokensPerImage: 1_000,
          maxToolInputTokens: 10_000,
        },
      },
      {
        id: 'reader',
        config: {
          protocol: 'anthropic',
          apiKeyEnv: 'PROVIDER_KEY',
          capabilities: ['streaming', 'vision'],
          maxTokensPerFile: 3_000,
        },
      },
      { id: 'slow', behaviour: { outputTokensPerSecond: 40, wordsPerChunk: 1 } },
      { id: 'cutting', behaviour: { cutStreamRate: 1 } },
      { id: 'failing', behaviour: { errorRate: 1 } },
      { id: 'spent', behaviour: { rateLimit: 1 } },
      { id: 'picky', config: { contextTokens: 50 } },
      { id: 'capped' },
      {
        id: 'embedder',
        behaviour: { kind: 'embedding', embeddingDimensions: 8 },
        config: { kinds: ['embeddings'], maxOutputTokens: 1 },
      },
      {
        id: 'wide',
        behaviour: { kind: 'embedding', embeddingDimensions: 3_072 },
        config: { kinds: ['embeddings'], maxOutputTokens: 1 },
      },
    ],
    env: { PROVIDER_KEY: 'key-of-provider' },
    config: {
      routes: [{ id: 'auto', backends: ['quick'] }],
      budgets: [{ id: 'spent', selector: { org: 'acme', backend: 'capped' }, window: 'total', limitUsd: '0.000001' }],
    },
  });
  openai = new OpenAI({ baseURL: `${product.url}/v1`, apiKey: ACME_KEY });
});
afterAll(async () => {
  await product?.stop();
  await scripted?.stop();
});

describe('the OpenAI SDK', () => {
  it('chats, and the receipt is in the body and in headers', async () => {
    const { data, response } = await openai.chat.completions
      .create({ model: 'auto', messages: say('Write 5 words.'), max_tokens: 50 })
      .withResponse();
    expect(data.choices[0]!.message.content!.split(' ')).toHaveLength(5);
    expect(data.usage!.completion_tokens).toBe(5);
    const receipt = (data as any).meritorder;
    expect(receipt).toMatchObject({ backend: 'quick', cost: { basis: 'confirmed' } });
    const header = (name: string) => response.headers.get(`x-meritorder-${name}`);
    expect(header('request-id')).toBe(receipt.request_id);
    expect(header('backend')).toBe('quick');
    expect(header('cost-usd')).toBe(receipt.cost.usd);
    expect(header('cost-basis')).toBe('confirmed');
    expect(header('attempts')).toBe('1');
    expect((data as any)._request_id).toBe(receipt.request_id);
  });

  it('streams, with usage where it asked for it alone, and the receipt at the end', async () => {
    for (const include_usage of [false, true]) {
      const stream = await openai.chat.completions.create({
        model: 'auto',
        messages: say('Write 30 words.'),
        max_tokens: 50,
        stream: true,
        stream_options: { include_usage },
      });
      let text = '';
      let usage: OpenAI.CompletionUsage | undefined;
      let receipt: any;
      for await (const chunk of stream) {
        // Most clients read the first choice without asking whether there is one; with usage there may be none.
        if (!include_usage) expect(chunk.choices[0]).toBeDefined();
        text += chunk.choices[0]?.delta.content ?? '';
        usage = chunk.usage ?? usage;
        receipt = (chunk as any).meritorder ?? receipt;
      }
      expect(text.trim().split(/\s+/)).toHaveLength(30);
      expect(usage?.completion_tokens).toBe(include_usage ? 30 : undefined);
      expect(receipt).toMatchObject({ backend: 'quick', usage: { outputTokens: 30 } });
    }
  });

  it("takes what Groq's standard tier is called, and none that may cost more", async () => {
    const create = (service_tier: any) =>
      openai.chat.completions.create({ model: 'able', messages: say('Hi'), max_tokens: 50, service_tier });
    expect((await create('on_demand')).choices).toHaveLength(1);
    expect(scripted.asked.at(-1)).toMatchObject({ service_tier: 'on_demand' });
    await expect(create('fast')).rejects.toThrow(/service_tier has no cost bound/);
  });

  it('puts a stream together with its own helper', async () => {
    const stream = openai.chat.completions.stream({ model: 'auto', messages: say('Write 12 words.'), max_tokens: 50 });
    const done = await stream.finalChatCompletion();
    expect(done.choices[0]!.message.content!.trim().split(/\s+/)).toHaveLength(12);
    expect(done.choices[0]!.finish_reason).toBe('stop');
  });

  it.each([false, true])('calls tools (stream: %s), and the answer of a tool goes up', async (stream) => {
    const ask = {
      model: 'able',
      messages: say('weather?'),
      tools: [TOOL],
      tool_choice: 'auto' as const,
      max_tokens: 50,
    };
    const message = stream
      ? (await openai.chat.completions.stream(ask).finalChatCompletion()).choices[0]!.message
      : (await openai.chat.completions.create(ask)).choices[0]!.message;
    const call = message.tool_calls![0]! as OpenAI.ChatCompletionMessageFunctionToolCall;
    expect(call.function).toMatchObject({ name: 'weather', arguments: '{"city":"Paris"}' });
    expect(scripted.asked.at(-1)).toMatchObject({ tools: [TOOL], tool_choice: 'auto' });
    const second = await openai.chat.completions.create({
      ...ask,
      messages: [
        ...say('weather?'),
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: call.id, content: 'sunny' },
      ],
    });
    expect(second.choices[0]!.message.content).toBe('all is fine');
  });

  it('calls two tools at once, of a backend that gives both the index 0', async () => {
    const time = { ...TOOL, function: { ...TOOL.function, name: 'time' } };
    const ask = { model: 'able', messages: say('weather and time?'), tools: [TOOL, time], max_tokens: 50 };
    const done = await openai.chat.completions.stream(ask).finalChatCompletion();
    expect(done.choices[0]!.message.tool_calls).toMatchObject([
      { id: 'call_0_0', function: { name: 'weather', arguments: '{"city":"Paris"}' } },
      { id: 'call_0_1', function: { name: 'time', arguments: '{"city":"Paris"}' } },
    ]);
  });

  it('parses an answer by its JSON schema', async () => {
    const response_format = {
      type: 'json_schema' as const,
      json_schema: { name: 'weather', strict: true, schema: SCHEMA },
    };
    const done = await openai.chat.completions.parse({
      model: 'able',
      messages: say('weather?'),
      response_format,
      max_tokens: 50,
    });
    expect(done.choices[0]!.message.parsed).toEqual({ city: 'Paris', degrees: 21 });
    expect(scripted.asked.at(-1)!.response_format).toEqual(response_format);
  });

  it('sends images, choices, stop, seed and logprobs, and what else it likes, untouched', async () => {
    const content = [
      { type: 'text' as const, text: 'what is it?' },
      { type: 'image_url' as const, image_url: { url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'low' as const } },
    ];
    const asked = {
      messages: [{ role: 'user' as const, content }],
      n: 2,
      stop: ['END'],
      seed: 7,
      logprobs: true,
      top_logprobs: 1,
      temperature: 0.5,
      logit_bias: { '50256': -100 },
      max_tokens: 50,
      unheard_of: { of: ['yet'] },
    };
    const done = await openai.chat.completions.create({ model: 'able', ...asked });
    expect(done.choices).toHaveLength(2);
    expect(done.choices[1]!.logprobs!.content![0]).toMatchObject({ token: 'fine', logprob: -0.25 });
    expect(scripted.asked.at(-1)).toMatchObject(asked);
  });

  it('is refused, by name, where no backend can do what it asks', async () => {
    const refused = await openai.chat.completions
      .create({ model: 'quick', messages: say('x'), tools: [TOOL], max_tokens: 50 })
      .catch((e: unknown) => e);
    expect(refused).toBeInstanceOf(OpenAI.BadRequestError);
    expect(refused).toMatchObject({ code: 'no_able_backend' });
  });

  it('embeds, as floats and as the base64 that it asks for by itself', async () => {
    const asked = { model: 'embedder', input: ['one', 'two words'] };
    const { data, usage } = await openai.embeddings.create(asked);
    expect(data.map((d) => d.embedding.length)).toEqual([8, 8]);
    expect(usage.prompt_tokens).toBe(3);
    const floats = await openai.embeddings.create({ ...asked, encoding_format: 'float' });
    expect(floats.data[0]!.embedding[0]).toBeCloseTo(data[0]!.embedding[0]!, 5);
    expect((floats as any).meritorder).toMatchObject({ backend: 'embedder', cost: { basis: 'confirmed' } });
  });

  it('lists and finds models: the routes and backends of the org of the key', async () => {
    const ids = (await openai.models.list()).data.map((m) => m.id);
    expect(ids).toEqual([
      'auto',
      'quick',
      'able',
      'native',
      'reader',
      'slow',
      'cutting',
      'failing',
      'spent',
      'picky',
      'capped',
      'embedder',
      'wide',
    ]);
    expect(await openai.models.retrieve('able')).toMatchObject({ object: 'model', owned_by: 'simco' });
    const globex = new OpenAI({ baseURL: `${product.url}/v1`, apiKey: GLOBEX_KEY });
    expect((await globex.models.list()).data.map((m) => m.id)).toEqual(['quick']);
    await expect(globex.models.retrieve('able')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('aborts a stream, and the call upstream is stopped', async () => {
    const stream = await openai.chat.completions.create({
      model: 'slow',
      messages: say('Write 100 words.'),
      stream: true,
      max_tokens: 100,
    });
    for await (const _chunk of stream) break;
    await waitFor(() => product.simulator.invoice().lines.some((l) => l.model === 'slow'), 'the call has ended');
    const line = product.simulator.invoice().lines.find((l) => l.model === 'slow')!;
    expect(line.outcome).toBe('cancelled');
    expect(line.outputTokens).toBeLessThan(20);
  });
});

describe('errors are those of the SDK', () => {
  type Case = [string, () => Promise<unknown>, new (...a: never[]) => Error, string, number];
  const create = (body: object, options: object = {}) =>
    openai.chat.completions.create({ model: 'auto', messages: say('x'), max_tokens: 50, ...body } as never, {
      maxRetries: 0,
      ...options,
    });
  const keyed = (apiKey: string) => new OpenAI({ baseURL: `${product.url}/v1`, apiKey, maxRetries: 0 });
  it.each<Case>([
    ['an unknown key', () => keyed('nonsense').models.list(), OpenAI.AuthenticationError, 'key_invalid', 401],
    ['an unknown model', () => create({ model: 'none' }), OpenAI.NotFoundError, 'route_unknown', 404],
    ['a wrong field', () => create({ messages: 'hi' }), OpenAI.BadRequestError, 'body_invalid', 400],
    [
      'a department of others',
      () => create({ metadata: { department: 'x' } }),
      OpenAI.PermissionDeniedError,
      'attribution_conflict',
      403,
    ],
    [
      'a context too long',
      () => create({ model: 'picky', messages: say('word '.repeat(500)) }),
      OpenAI.BadRequestError,
      'no_able_backend',
      400,
    ],
    ['a spent budget', () => create({ model: 'capped' }), OpenAI.APIError, 'budget_exhausted', 402],
    ['a backend that fails', () => create({ model: 'failing' }), OpenAI.InternalServerError, 'backend_failed', 502],
    [
      'a backend without quota',
      () => create({ model: 'spent' }).then(() => create({ model: 'spent' })),
      OpenAI.RateLimitError,
      'backend_quota',
      429,
    ],
    [
      'a path that is not there',
      () => openai.post('/nothing', { maxRetries: 0 }),
      OpenAI.NotFoundError,
      'path_unknown',
      404,
    ],
  ])('%s', async (_name, run, kind, code, status) => {
    const error = await run().then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ code, status });
  });

  it('asks again by itself where that helps, and not where it does not', async () => {
    let calls = 0;
    const counting = new OpenAI({
      baseURL: `${product.url}/v1`,
      apiKey: ACME_KEY,
      maxRetries: 2,
      fetch: (...args) => {
        calls++;
        return fetch(...args);
      },
    });
    await expect(
      counting.chat.completions.create({ model: 'failing', messages: say('x'), max_tokens: 50 }),
    ).rejects.toBeInstanceOf(OpenAI.InternalServerError);
    expect(calls).toBe(3);
    calls = 0;
    await expect(
      counting.chat.completions.create({ model: 'capped', messages: say('x'), max_tokens: 50 }),
    ).rejects.toMatchObject({ status: 402 });
    expect(calls).toBe(1);
  });

  it('a stream that breaks off raises after what was sent', async () => {
    const stream = await openai.chat.completions.create({
      model: 'cutting',
      messages: say('Write 50 words.'),
      stream: true,
      max_tokens: 100,
    });
    let text = '';
    const read = (async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    })();
    await expect(read).rejects.toMatchObject({ code: 'stream_cut' });
    expect(text).not.toBe('');
  });
});

describe('the Vercel AI SDK', () => {
  const model = (id: string) =>
    createOpenAICompatible({
      name: 'meritorder',
      baseURL: `${product.url}/v1`,
      apiKey: ACME_KEY,
      includeUsage: true,
      supportsStructuredOutputs: true,
    })(id);

  it('generates, streams, and knows the usage', async () => {
    const { text, usage } = await generateText({ model: model('auto'), prompt: 'Write 6 words.', maxOutputTokens: 50 });
    expect(text.split(' ')).toHaveLength(6);
    expect(usage.outputTokens).toBe(6);
    const stream = streamText({ model: model('auto'), prompt: 'Write 20 words.', maxOutputTokens: 50 });
    let streamed = '';
    for await (const part of stream.textStream) streamed += part;
    expect(streamed.trim().split(/\s+/)).toHaveLength(20);
    expect((await stream.usage).outputTokens).toBe(20);
    expect(await stream.finishReason).toBe('stop');
  });

  it('calls tools and goes on, and generates objects', async () => {
    const { text, steps } = await generateText({
      model: model('able'),
      prompt: 'weather?',
      maxOutputTokens: 50,
      stopWhen: stepCountIs(3),
      tools: {
        weather: tool({
          inputSchema: jsonSchema<{ city: string }>(WEATHER as never),
          execute: async ({ city }) => `sunny in ${city}`,
        }),
      },
    });
    expect(text).toBe('all is fine');
    expect(steps[0]!.toolResults[0]!.output).toBe('sunny in Paris');
    const { output } = await generateText({
      model: model('able'),
      prompt: 'weather?',
      output: Output.object({ schema: jsonSchema(SCHEMA as never) }),
      maxOutputTokens: 50,
    });
    expect(output).toEqual({ city: 'Paris', degrees: 21 });
  });

  it('embeds', async () => {
    const { embeddings, usage } = await embedMany({
      model: createOpenAICompatible({
        name: 'meritorder',
        baseURL: `${product.url}/v1`,
        apiKey: ACME_KEY,
      }).embeddingModel('embedder'),
      values: ['one', 'two words'],
    });
    expect(embeddings.map((v) => v.length)).toEqual([8, 8]);
    expect(usage.tokens).toBe(3);
  });

  it('raises errors with the status and does not ask again in vain', async () => {
    await expect(generateText({ model: model('capped'), prompt: 'x', maxOutputTokens: 50 })).rejects.toMatchObject({
      statusCode: 402,
    });
  });
});

describe("Anthropic's SDK", () => {
  let anthropic: Anthropic;
  const ask = (words: number, more: object = {}) => ({
    model: 'auto',
    max_tokens: 50,
    messages: say(`Write ${words} words.`),
    ...more,
  });
  beforeAll(() => {
    anthropic = new Anthropic({ baseURL: product.url, apiKey: ACME_KEY, maxRetries: 0 });
  });

  it('has its answer, with the receipt in the body and in headers', async () => {
    const { data, response } = await anthropic.messages.create(ask(5)).withResponse();
    const [block] = data.content as [Anthropic.TextBlock];
    expect(block.text.split(' ')).toHaveLength(5);
    expect(data).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'end_turn' });
    expect(data.usage.output_tokens).toBe(5);
    const receipt = (data as any).meritorder;
    expect(receipt).toMatchObject({ backend: 'quick', usage: { outputTokens: 5 }, cost: { basis: 'confirmed' } });
    expect(response.headers.get('x-meritorder-cost-usd')).toBe(receipt.cost.usd);
    expect((data as any)._request_id).toBe(receipt.request_id);
  });

  it('streams, and the receipt is in the last event', async () => {
    const seen: any[] = [];
    const stream = anthropic.messages.stream(ask(20)).on('streamEvent', (event) => seen.push(event));
    const done = await stream.finalMessage();
    expect((done.content[0] as Anthropic.TextBlock).text.trim().split(/\s+/)).toHaveLength(20);
    expect(done.usage.output_tokens).toBe(20);
    expect(done.stop_reason).toBe('end_turn');
    expect(seen.filter((e) => e.type === 'message_stop')).toHaveLength(1);
    expect(seen.at(-1)).toMatchObject({ type: 'message_stop', meritorder: { backend: 'quick' } });
  });

  const documentOf = (source: object) => ({ type: 'document', source });
  const TEXT = documentOf({ type: 'text', media_type: 'text/plain', data: 'All is well.' });
  const PDF = documentOf({ type: 'base64', media_type: 'application/pdf', data: 'aGk=' });
  const FOUND = { type: 'web_search_result', url: 'https://a.test', title: 'a', encrypted_content: 'RXFnZg==' };
  const ofNative = (content: object[], more: object = {}): any => ({
    ...ask(1, { model: 'native' }),
    messages: [
      { role: 'user', content: 'What is new?' },
      {
        role: 'assistant',
        content: [
          { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'news' } },
          { type: 'web_search_tool_result', tool_use_id: 's', content: [FOUND] },
          { type: 'text', text: 'Nothing.' },
        ],
      },
      { role: 'user', content: [...content, { type: 'text', text: 'Write 1 words.' }] },
    ],
    ...more,
  });

  it('documents, searches and a context that is cleared reach a backend that speaks its language', async () => {
    const context_management = { edits: [{ type: 'clear_tool_uses_20250919' }] };
    const { usage } = await anthropic.messages.create(ofNative([TEXT], { context_management }));
    expect(usage.input_tokens).toBeGreaterThan(0);
  });

  it.each<[string, Partial<Anthropic.MessageCreateParamsNonStreaming>]>([
    [
      'a word of the system in between',
      { messages: [{ role: 'system', content: 'Be kind.' }, ...say('Write 1 words.')] },
    ],
    ['thinking between tools', { thinking: { type: 'between_tools' } }],
    ['the usual speed', { speed: 'standard' }],
    ['a diagnosis of the cache', { diagnostics: { previous_message_id: null } }],
    [
      'a search of its tools',
      {
        tools: [
          { type: 'tool_search_tool_regex_20251119', name: 'tool_search_tool_regex' },
          { type: 'tool_search_tool_bm25_20251119', name: 'tool_search_tool_bm25' },
          { name: 'weather', input_schema: WEATHER as never, defer_loading: true },
        ],
      },
    ],
  ])('%s reaches a backend that speaks its language', async (_what, more) => {
    const { usage } = await anthropic.messages.create({ ...ask(1, { model: 'native' }), ...more });
    expect(usage.output_tokens).toBe(1);
  });

  it('and what it found goes up with the rest of the conversation', async () => {
    const { usage } = await anthropic.messages.create({
      ...ask(1, { model: 'native' }),
      tools: [
        { type: 'tool_search_tool_bm25_20251119', name: 'tool_search_tool_bm25' },
        { name: 'weather', input_schema: WEATHER as never, defer_loading: true },
      ],
      messages: [
        ...say('Is it warm in Paris?'),
        {
          role: 'assistant',
          content: [
            { type: 'server_tool_use', id: 's', name: 'tool_search_tool_bm25', input: { query: 'weather' } },
            {
              type: 'tool_search_tool_result',
              tool_use_id: 's',
              content: {
                type: 'tool_search_tool_search_result',
                tool_references: [{ type: 'tool_reference', tool_name: 'weather' }],
              },
            },
            { type: 'tool_use', id: 't', name: 'weather', input: { city: 'Paris' } },
          ],
        },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: 'Write 1 words.' }] },
      ],
    });
    expect(usage.output_tokens).toBeGreaterThan(0);
  });

  it('a PDF reaches a backend that speaks its language and says what one can cost', async () => {
    const { usage } = await anthropic.messages.create(ofNative([PDF], { model: 'reader' }));
    expect(usage.output_tokens).toBe(1);
  });

  it('a word of the system in between reaches any other in its place', async () => {
    const messages: Anthropic.MessageParam[] = [...say('Hi'), { role: 'system', content: 'Be kind.' }, ...say('Well?')];
    await anthropic.messages.create({ ...ask(1, { model: 'able' }), speed: 'standard', messages });
    expect(scripted.asked.at(-1)!['messages']).toEqual(messages);
  });

  it.each<[string, any, RegExp]>([
    ['a faster speed', ofNative([], { speed: 'fast' }), /speed has no cost bound/],
    [
      'a PDF',
      ofNative([PDF]),
      /messages\.2\.content\.0 is a PDF document: without maxTokensPerFile .*source of the type text/,
    ],
    [
      'a context that is summarised',
      ofNative([], { context_management: { edits: [{ type: 'compact_20260112' }] } }),
      /context_management that does not only clear/,
    ],
  ])('%s is refused, and named', async (_what, body, words) => {
    await expect(anthropic.messages.create(body)).rejects.toThrow(words);
  });

  it('calls two tools at once, of a backend that gives both the index 0', async () => {
    const tools = ['weather', 'time'].map((name) => ({ name, input_schema: WEATHER as never }));
    const message = await anthropic.messages.stream({ ...ask(1, { model: 'able' }), tools }).finalMessage();
    expect(message.content).toMatchObject([
      { type: 'tool_use', name: 'weather', input: { city: 'Paris' } },
      { type: 'tool_use', name: 'time', input: { city: 'Paris' } },
    ]);
  });

  it.each([false, true])('calls tools (stream: %s), and the answer of a tool goes up', async (stream) => {
    const asked = {
      ...ask(1, { model: 'able' }),
      tools: [{ name: 'weather', description: 'of a city', input_schema: WEATHER as never }],
    };
    const message = stream
      ? await anthropic.messages.stream(asked).finalMessage()
      : await anthropic.messages.create(asked);
    expect(message.stop_reason).toBe('tool_use');
    const call = message.content.find((b) => b.type === 'tool_use')!;
    expect(call).toMatchObject({ name: 'weather', input: { city: 'Paris' } });
    const second = await anthropic.messages.create({
      ...asked,
      messages: [
        ...asked.messages,
        { role: 'assistant', content: message.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'sunny' }] },
      ],
    });
    expect(second.content).toMatchObject([{ type: 'text', text: 'all is fine' }]);
  });

  it.each([
    ['none', Anthropic.NotFoundError, 'not_found_error', 'route_unknown'],
    ['capped', Anthropic.APIError, 'billing_error', 'budget_exhausted'],
    ['failing', Anthropic.InternalServerError, 'api_error', 'backend_failed'],
    ['spent', Anthropic.RateLimitError, 'rate_limit_error', 'backend_quota'],
  ] as const)('raises its own error for %s', async (model, kind, type, code) => {
    const call = () => anthropic.messages.create(ask(5, { model })).catch((e: unknown) => e);
    // One a minute is the quota of `spent`.
    await call();
    const error = await call();
    expect(error).toBeInstanceOf(kind);
    expect((error as any).error).toMatchObject({ type: 'error', error: { type, code } });
  });

  it('counts the tokens of a request without sending it anywhere', async () => {
    const lines = () => product.simulator.invoice().lines.length;
    const before = lines();
    const { model, messages } = ask(5);
    const counted = await anthropic.messages.countTokens({ model, messages, system: 'Be brief.' });
    expect(lines()).toBe(before);
    const { usage } = await anthropic.messages.create(ask(5, { system: 'Be brief.' }));
    expect(Math.abs(counted.input_tokens - usage.input_tokens)).toBeLessThanOrEqual(3);
    const longer = await anthropic.messages.countTokens({ model, messages: say('Write 5 words. '.repeat(100)) });
    expect(longer.input_tokens).toBeGreaterThan(20 * counted.input_tokens);
    const unknown = await anthropic.messages.countTokens({ model: 'none', messages }).catch((e: unknown) => e);
    expect(unknown).toBeInstanceOf(Anthropic.NotFoundError);
    const wrong = await anthropic.messages.countTokens({ model, messages: [] }).catch((e: unknown) => e);
    expect(wrong).toBeInstanceOf(Anthropic.BadRequestError);
    expect((wrong as any).error.error.message).toContain('messages');
  });

  it('aborts a stream, and the call upstream is stopped', async () => {
    const cancelled = () => product.simulator.invoice().lines.filter((l) => l.model === 'slow');
    const before = cancelled().length;
    const stream = anthropic.messages.stream(ask(100, { model: 'slow', max_tokens: 100 }));
    stream.on('text', () => stream.abort());
    await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
    await waitFor(() => cancelled().length === before + 1, 'the call has ended');
    expect(cancelled().at(-1)).toMatchObject({ outcome: 'cancelled' });
  });
});

describe('LangChain.js', () => {
  const model = (name: string) =>
    new ChatOpenAI({
      model: name,
      apiKey: ACME_KEY,
      maxTokens: 50,
      maxRetries: 0,
      configuration: { baseURL: `${product.url}/v1` },
    });

  it('invokes and streams', async () => {
    const message = await model('auto').invoke([new HumanMessage('Write 4 words.')]);
    expect(String(message.content).split(' ')).toHaveLength(4);
    expect(message.usage_metadata!.output_tokens).toBe(4);
    let text = '';
    for await (const chunk of await model('auto').stream('Write 20 words.')) text += String(chunk.content);
    expect(text.trim().split(/\s+/)).toHaveLength(20);
  });

  it('calls tools and answers by a schema', async () => {
    const weather = langChainTool(async () => 'sunny', { name: 'weather', schema: z.object({ city: z.string() }) });
    const message = await model('able').bindTools([weather]).invoke('weather?');
    expect(message.tool_calls![0]).toMatchObject({ name: 'weather', args: { city: 'Paris' } });
    const structured = model('able').withStructuredOutput(z.object({ city: z.string(), degrees: z.number() }), {
      method: 'jsonSchema',
    });
    expect(await structured.invoke('weather?')).toEqual({ city: 'Paris', degrees: 21 });
  });

  it('embeds', async () => {
    const embeddings = new OpenAIEmbeddings({
      model: 'embedder',
      apiKey: ACME_KEY,
      configuration: { baseURL: `${product.url}/v1` },
    });
    expect((await embeddings.embedDocuments(['one', 'two words'])).map((v) => v.length)).toEqual([8, 8]);
  });

  it('embeds as many texts as it asks for at once, whose vectors are more than a message carries', async () => {
    const embeddings = new OpenAIEmbeddings({
      model: 'wide',
      apiKey: ACME_KEY,
      configuration: { baseURL: `${product.url}/v1` },
    });
    const texts = Array.from({ length: embeddings.batchSize + 1 }, (_, i) => `text ${i}`);
    const vectors = await embeddings.embedDocuments(texts);
    expect(embeddings.batchSize).toBe(512);
    expect(vectors.map((v) => v.length)).toEqual(texts.map(() => 3_072));
  });

  it('raises the error of the status', async () => {
    await expect(model('none').invoke('x')).rejects.toMatchObject({ status: 404 });
  });
});

it('a key is in no log and in no error', async () => {
  for (const key of [ACME_KEY, 'sk-wrong-key-of-somebody']) {
    const response = await post(product.url, { model: 'auto', messages: 'x' }, { key });
    expect(await response.text()).not.toContain(key);
  }
  const { readFileSync } = await import('node:fs');
  for (const { logFile } of product.stack.services) {
    const log = readFileSync(logFile, 'utf8');
    expect(log).not.toContain(ACME_KEY);
    expect(log).not.toContain('sk-wrong-key-of-somebody');
  }
});
