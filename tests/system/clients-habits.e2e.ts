import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAnthropic } from '@ai-sdk/anthropic';
import Anthropic from '@anthropic-ai/sdk';
import { ContextOverflowError } from '@langchain/core/errors';
import { ChatOpenAI } from '@langchain/openai';
import { jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { ACME_KEY, startGatewayProduct } from './gateway-product.js';
import { startScriptedProvider, type ScriptedProvider } from './scripted-provider.js';

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let scripted: ScriptedProvider;
let openai: OpenAI;
/** Says little, as Anthropic or OpenAI does, and keeps what it was told, to the byte. */
let raw: Server;
const told: { headers: IncomingHttpHeaders; body: string }[] = [];
const LONG = '9007199254740993123';
const RAW_MESSAGE = `{"id":"m-1","type":"message","role":"assistant","model":"m","content":[{"type":"tool_use","id":"t-1","name":"find","input":{"id":${LONG}}}],"stop_reason":"tool_use","usage":{"input_tokens":9,"output_tokens":1}}`;
const RAW_CHAT = `{"id":"c-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"fine","seen":${LONG}},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}`;

const WEATHER = { type: 'object', properties: { city: { type: 'string' } } } as const;

beforeAll(async () => {
  scripted = await startScriptedProvider();
  const capabilities = ['streaming', 'tools', 'json'];
  raw = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    told.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
    response.setHeader('content-type', 'application/json');
    response.end(request.url!.endsWith('/messages') ? RAW_MESSAGE : RAW_CHAT);
  });
  await new Promise<void>((done) => raw.listen(0, '127.0.0.1', done));
  const rawUrl = `http://127.0.0.1:${(raw.address() as AddressInfo).port}/v1`;
  product = await startGatewayProduct({
    backends: [
      { id: 'able', config: { baseUrl: scripted.url, capabilities } },
      { id: 'native', config: { protocol: 'anthropic', apiKeyEnv: 'PROVIDER_KEY', capabilities } },
      {
        id: 'raw-messages',
        config: { protocol: 'anthropic', apiKeyEnv: 'PROVIDER_KEY', baseUrl: rawUrl, capabilities: ['tools'] },
      },
      { id: 'raw-chat', config: { baseUrl: rawUrl, capabilities: ['tools'] } },
      { id: 'short', config: { contextTokens: 20, maxOutputTokens: 10 } },
    ],
    env: { PROVIDER_KEY: 'key-of-provider' },
    config: { routes: [{ id: 'auto', backends: ['able'] }] },
  });
  openai = new OpenAI({ baseURL: `${product.url}/v1`, apiKey: ACME_KEY, maxRetries: 0 });
});
afterAll(async () => {
  await product?.stop();
  await scripted?.stop();
  await new Promise((done) => raw.close(done));
});

it.each([true, false])(
  "Anthropic's tool runner, streamed %s, goes on without the thread that it asks for",
  async (stream) => {
    const anthropic = new Anthropic({ baseURL: product.url, apiKey: ACME_KEY, maxRetries: 0 });
    const weather = { name: 'weather', input_schema: WEATHER, run: () => 'sunny', parse: (input: unknown) => input };
    const runner = anthropic.beta.messages.toolRunner({
      model: 'auto',
      max_tokens: 50,
      stream,
      messages: [{ role: 'user', content: 'Weather?' }],
      tools: [weather],
    } as never);
    expect((await runner.runUntilDone()).content).toMatchObject([{ type: 'text', text: 'all is fine' }]);
  },
);

it("the Vercel AI SDK's Anthropic provider streams with tools, and objects, from a backend that is sent a chat", async () => {
  const model = createAnthropic({ baseURL: `${product.url}/v1`, apiKey: ACME_KEY })('auto');
  const called = streamText({
    model,
    prompt: 'Weather?',
    maxOutputTokens: 50,
    stopWhen: stepCountIs(3),
    tools: { weather: tool({ inputSchema: jsonSchema(WEATHER as never), execute: async () => 'sunny' }) },
  });
  expect(await called.text).toBe('all is fine');
  const report = streamText({
    model,
    prompt: 'Weather?',
    maxOutputTokens: 50,
    output: Output.object({ schema: jsonSchema(WEATHER as never) }),
  });
  // Of a model that it does not know it asks for an object as for the arguments of a tool.
  expect(await report.output).toEqual({ city: 'Paris' });
});

it("what OpenAI's SDK has parsed goes back to any backend", async () => {
  const first = { role: 'user' as const, content: 'Weather?' };
  const { choices } = await openai.chat.completions.parse({
    model: 'auto',
    messages: [first],
    response_format: zodResponseFormat(z.object({ city: z.string(), degrees: z.number() }), 'report'),
  });
  expect(choices[0]!.message.parsed).toEqual({ city: 'Paris', degrees: 21 });
  const messages = [first, choices[0]!.message, { role: 'user' as const, content: 'Write 3 words.' }];
  for (const model of ['auto', 'native'])
    expect((await openai.chat.completions.create({ model, messages, max_tokens: 50 })).choices).toHaveLength(1);
  expect(scripted.asked.at(-1)!['messages'][1]).not.toHaveProperty('parsed');
});

it('a prompt that no backend has room for is a context overflow to LangChain, as it is where a provider refuses it', async () => {
  const model = new ChatOpenAI({
    model: 'short',
    apiKey: ACME_KEY,
    maxTokens: 5,
    maxRetries: 0,
    configuration: { baseURL: `${product.url}/v1` },
  });
  const refused = await model.invoke('one two three '.repeat(50)).catch((error: unknown) => error);
  expect(ContextOverflowError.isInstance(refused)).toBe(true);
  expect((refused as Error).message).toMatch(/^400 short: about \d+ input tokens exceed its context of 20,/);
});

it("what Anthropic's SDK names as betas reaches Anthropic, but for what may cost more", async () => {
  const anthropic = new Anthropic({ baseURL: product.url, apiKey: ACME_KEY, maxRetries: 0 });
  const { content } = await anthropic.beta.messages.create({
    model: 'raw-messages',
    max_tokens: 50,
    messages: [{ role: 'user', content: 'How is it?' }],
    betas: ['interleaved-thinking-2025-05-14', 'context-1m-2025-08-07', 'claude-code-20250219'],
  });
  expect(content).toMatchObject([{ name: 'find' }]);
  expect(told.at(-1)!.headers['anthropic-beta']).toBe('interleaved-thinking-2025-05-14,claude-code-20250219');
});

it.each([
  [
    'messages',
    `{"model":"raw-messages","max_tokens":50,"tools":[{"name":"find","input_schema":{"type":"object","properties":{"id":{"maximum":${LONG}}}}}],"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"find","input":{"id":${LONG}}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"y"}]}]}`,
    2,
  ],
  [
    'chat/completions',
    `{"model":"raw-chat","max_tokens":50,"tools":[{"type":"function","function":{"name":"find","parameters":{"type":"object","properties":{"id":{"maximum":${LONG}}}}}}],"messages":[{"role":"user","content":"x"}]}`,
    1,
  ],
])('integers beyond 2^53 pass as they are, both ways, over %s', async (path, body, times) => {
  const headers = { authorization: `Bearer ${ACME_KEY}`, 'content-type': 'application/json' };
  const answer = await (await fetch(`${product.url}/v1/${path}`, { method: 'POST', headers, body })).text();
  expect(answer.split(LONG)).toHaveLength(2);
  expect(told.at(-1)!.body.split(LONG)).toHaveLength(times + 1);
});
