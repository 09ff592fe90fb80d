import { createOpenAI } from '@ai-sdk/openai';
import { usdToNanos } from '@meritorder/kernel';
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool, type ModelMessage } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { zodTextFormat } from 'openai/helpers/zod';
import { ACME_KEY, GLOBEX_KEY, post, startGatewayProduct } from './gateway-product.js';
import { startScriptedProvider, type ScriptedProvider } from './scripted-provider.js';

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let scripted: ScriptedProvider;
let openai: OpenAI;

const WEATHER = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
} as const;
const TOOL = {
  type: 'function' as const,
  name: 'weather',
  description: 'of a city',
  parameters: WEATHER,
  strict: true,
};

beforeAll(async () => {
  scripted = await startScriptedProvider();
  product = await startGatewayProduct({
    backends: [
      { id: 'quick' },
      { id: 'able', config: { baseUrl: scripted.url, capabilities: ['streaming', 'tools', 'json'] } },
      { id: 'slow', behaviour: { outputTokensPerSecond: 40, wordsPerChunk: 1 } },
      { id: 'cutting', behaviour: { cutStreamRate: 1 } },
      { id: 'capped' },
    ],
    config: {
      routes: [{ id: 'auto', backends: ['quick'] }],
      budgets: [{ id: 'spent', selector: { org: 'acme', backend: 'capped' }, window: 'total', limitUsd: '0.000001' }],
    },
  });
  openai = new OpenAI({ baseURL: `${product.url}/v1`, apiKey: ACME_KEY, maxRetries: 0 });
});
afterAll(async () => {
  await product?.stop();
  await scripted?.stop();
});

const callsOf = (model: string): number => product.simulator.invoice().lines.filter((l) => l.model === model).length;

describe("responses, asked for by OpenAI's SDK", () => {
  it('are answered, with the receipt and the usage that is booked', async () => {
    const response: any = await openai.responses.create({
      model: 'auto',
      instructions: 'Be brief.',
      input: 'Write 5 words.',
      max_output_tokens: 50,
      metadata: { department: 'eng' },
    });
    expect(response.output_text.split(' ')).toHaveLength(5);
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      store: true,
      instructions: 'Be brief.',
    });
    expect(response.usage).toMatchObject({ output_tokens: 5, input_tokens_details: { cached_tokens: 0 } });
    const { meritorder: receipt } = response;
    expect(receipt.backend).toBe('quick');
    expect(receipt.usage).toMatchObject({ inputTokens: response.usage.input_tokens, outputTokens: 5 });
    const billed = product.simulator
      .invoice()
      .lines.find((l) => l.clientRequestId === receipt.attempts.at(-1).attempt_id)!;
    expect(receipt.cost.basis).toBe('confirmed');
    expect(usdToNanos(receipt.cost.usd)).toBe(BigInt(billed.nanoUsd));
  });

  it('go on after a model that spoke when it had called: the result follows the calls', async () => {
    const said = { type: 'output_text', text: 'I look.', annotations: [] };
    const response: any = await openai.responses.create({
      model: 'able',
      tools: [TOOL],
      input: [
        { role: 'user', content: 'Weather?' },
        { type: 'function_call', call_id: 'c1', name: 'weather', arguments: '{"city":"Paris"}' },
        { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content: [said] },
        { type: 'function_call_output', call_id: 'c1', output: 'sunny' },
      ] as never,
    });
    expect(response.output_text).toBe('all is fine');
    expect(scripted.asked.at(-1)!['messages']).toMatchObject([
      { role: 'user' },
      { role: 'assistant', content: 'I look.', tool_calls: [{ id: 'c1' }] },
      { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
    ]);
  });

  it('stream as its own events, which it puts together to the response', async () => {
    const stream = openai.responses.stream({ model: 'auto', input: 'Write 12 words.', max_output_tokens: 50 });
    const types: string[] = [];
    const numbers: number[] = [];
    let said = '';
    for await (const event of stream) {
      types.push(event.type);
      numbers.push(event.sequence_number);
      if (event.type === 'response.output_text.delta') said += event.delta;
    }
    const response: any = await stream.finalResponse();
    expect(response.output_text).toBe(said);
    expect(said.split(' ')).toHaveLength(12);
    expect(numbers).toEqual(numbers.map((_, i) => i));
    expect(types.slice(0, 4)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
    ]);
    expect(types.slice(-4)).toEqual([
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(response.usage.output_tokens).toBe(12);
    expect(response.meritorder.cost.basis).toBe('confirmed');
  });

  it('call tools, and go on from the items of an earlier response', async () => {
    const tools = [TOOL];
    const first = await openai.responses.create({ model: 'able', input: 'weather?', tools, max_output_tokens: 50 });
    const call = first.output.find((item) => item.type === 'function_call')!;
    expect(call).toMatchObject({ name: 'weather', status: 'completed' });
    expect(JSON.parse(call.arguments)).toEqual({ city: 'Paris' });
    const second = await openai.responses.create({
      model: 'able',
      tools,
      max_output_tokens: 50,
      input: [
        { role: 'user', content: 'weather?' },
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        { type: 'function_call_output', call_id: call.call_id, output: 'sunny in Paris' },
      ],
    });
    expect(second.output_text).toBe('all is fine');
  });

  it('call tools in a stream', async () => {
    const stream = openai.responses.stream({ model: 'able', input: 'weather?', tools: [TOOL], max_output_tokens: 50 });
    let args = '';
    for await (const event of stream) if (event.type === 'response.function_call_arguments.delta') args += event.delta;
    const [call] = (await stream.finalResponse()).output;
    expect(call).toMatchObject({ type: 'function_call', name: 'weather', arguments: args, status: 'completed' });
    expect(JSON.parse(args)).toEqual({ city: 'Paris' });
  });

  it('call two tools at once, of a backend that gives both the index 0', async () => {
    const tools = [TOOL, { ...TOOL, name: 'time' }];
    const stream = openai.responses.stream({ model: 'able', input: 'weather and time?', tools, max_output_tokens: 50 });
    expect((await stream.finalResponse()).output).toMatchObject([
      { type: 'function_call', name: 'weather', arguments: '{"city":"Paris"}' },
      { type: 'function_call', name: 'time', arguments: '{"city":"Paris"}' },
    ]);
  });

  it('come as JSON of a schema', async () => {
    const format = zodTextFormat(z.object({ city: z.string(), degrees: z.number() }), 'weather');
    const { output_parsed } = await openai.responses.parse({
      model: 'able',
      input: 'weather?',
      text: { format },
      max_output_tokens: 50,
    });
    expect(output_parsed).toEqual({ city: 'Paris', degrees: 21 });
  });

  it('say that they are incomplete at their limit', async () => {
    const response = await openai.responses.create({ model: 'auto', input: 'Write 40 words.', max_output_tokens: 16 });
    expect(response).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
  });

  it.each([
    ['an earlier response', { previous_response_id: 'resp_1' }, /previous_response_id/],
    ["a provider's own tool", { tools: [{ type: 'web_search' as const }] }, /web_search.*tools\.0/],
    ['an item by its id', { input: [{ type: 'item_reference' as const, id: 'msg_1' }] }, /input\.0/],
    ['a field that nobody knows', { shiny: true } as object, /shiny/],
  ])('are refused with the place, where they ask for %s', async (_what, more, said) => {
    const asked = { model: 'auto', input: 'Write 5 words.', max_output_tokens: 50, ...more };
    const calls = callsOf('quick');
    const error = await openai.responses.create(asked as never).then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect((error as InstanceType<typeof OpenAI.APIError>).message).toMatch(said);
    expect(callsOf('quick')).toBe(calls);
  });

  it('raise its own errors: for what is not allowed, what is wrong, and a stream that breaks off', async () => {
    const ask = (more: object) =>
      openai.responses.create({ model: 'auto', input: 'Write 5 words.', max_output_tokens: 50, ...more } as never);
    await expect(ask({ model: 'capped' })).rejects.toMatchObject({ status: 402, code: 'budget_exhausted' });
    await expect(ask({ input: [{ role: 'user' }] })).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(ask({ input: [{ role: 'user' }] })).rejects.toMatchObject({ param: 'input.0.content' });
    const broken = openai.responses.stream({ model: 'cutting', input: 'Write 30 words.', max_output_tokens: 50 });
    await expect(broken.finalResponse()).rejects.toMatchObject({ code: 'stream_cut' });
  });

  it('go on from an earlier one by its id, streamed or not, with what was said and not what was instructed', async () => {
    const ask = (more: object) =>
      openai.responses.create({ model: 'able', max_output_tokens: 50, ...more } as never) as Promise<any>;
    const first = await ask({ input: 'one', instructions: 'Only now.' });
    const stream = openai.responses.stream({
      model: 'able',
      input: [{ role: 'user', content: 'two' }],
      previous_response_id: first.id,
      max_output_tokens: 50,
    });
    const second: any = await stream.finalResponse();
    expect(second).toMatchObject({ previous_response_id: first.id, store: true });
    await ask({ input: 'three', previous_response_id: second.id });
    expect(scripted.asked.at(-1)!['messages']).toEqual([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'all is fine' },
      { role: 'user', content: 'two' },
      { role: 'assistant', content: 'all is fine' },
      { role: 'user', content: 'three' },
    ]);
  });

  it('are read and forgotten by their ids, and not kept where that was asked', async () => {
    const kept = await openai.responses.create({ model: 'auto', input: 'Write 3 words.', max_output_tokens: 50 });
    expect((await openai.responses.retrieve(kept.id)).output_text).toBe(kept.output_text);
    await openai.responses.delete(kept.id);
    await expect(openai.responses.retrieve(kept.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const unkept: any = await openai.responses.create({
      model: 'auto',
      input: 'Write 3 words.',
      max_output_tokens: 50,
      store: false,
    });
    expect(unkept.store).toBe(false);
    await expect(openai.responses.retrieve(unkept.id)).rejects.toMatchObject({ status: 404, code: 'response_unknown' });
  });

  it("are nobody else's: another org neither reads, forgets nor goes on from one", async () => {
    const mine = await openai.responses.create({ model: 'quick', input: 'Write 3 words.', max_output_tokens: 50 });
    const other = new OpenAI({ baseURL: `${product.url}/v1`, apiKey: GLOBEX_KEY, maxRetries: 0 });
    await expect(other.responses.retrieve(mine.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(other.responses.delete(mine.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const ask = (more: object) =>
      other.responses.create({ model: 'quick', input: 'Write 3 words.', max_output_tokens: 50, ...more } as never);
    await expect(ask({ previous_response_id: mine.id })).rejects.toMatchObject({ param: 'previous_response_id' });
    const { id } = mine.output[0] as { id: string };
    await expect(ask({ input: [{ type: 'item_reference', id }] })).rejects.toMatchObject({ param: 'input.0' });
    expect((await openai.responses.retrieve(mine.id)).id).toBe(mine.id);
  });

  it('stop at the provider when their caller leaves', async () => {
    const stream = openai.responses.stream({ model: 'slow', input: 'Write 400 words.', max_output_tokens: 500 });
    for await (const event of stream) if (event.type === 'response.output_text.delta') break;
    const cut = () => product.simulator.invoice().lines.find((l) => l.model === 'slow');
    await expect.poll(cut, { timeout: 10_000 }).toMatchObject({ outcome: 'cancelled' });
    expect(cut()!.outputTokens).toBeLessThan(100);
  });
});

describe("the Vercel AI SDK's own OpenAI provider", () => {
  const sent: string[] = [];
  const model = (id: string) =>
    createOpenAI({
      baseURL: `${product.url}/v1`,
      apiKey: ACME_KEY,
      fetch: (url, init) => {
        sent.push(String(init?.body));
        return fetch(url, init);
      },
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
      output: Output.object({ schema: z.object({ city: z.string(), degrees: z.number() }) }),
      maxOutputTokens: 50,
    });
    expect(output).toEqual({ city: 'Paris', degrees: 21 });
  });

  it('holds a conversation, in which it refers to what was said by its id', async () => {
    const first = await generateText({ model: model('able'), prompt: 'one', maxOutputTokens: 50 });
    const messages: ModelMessage[] = [
      { role: 'user', content: 'one' },
      ...first.response.messages,
      { role: 'user', content: 'two' },
    ];
    await generateText({ model: model('able'), messages, maxOutputTokens: 50 });
    expect(sent.at(-1)).toContain('item_reference');
    expect(scripted.asked.at(-1)!['messages']).toEqual([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'all is fine' },
      { role: 'user', content: 'two' },
    ]);
  });

  it('raises errors with the status and does not ask again in vain', async () => {
    await expect(generateText({ model: model('capped'), prompt: 'x', maxOutputTokens: 50 })).rejects.toMatchObject({
      statusCode: 402,
    });
  });
});

it('an Idempotency-Key gets the same response again, streamed or not, for one call and one charge', async () => {
  for (const stream of [false, true]) {
    const body = { model: 'auto', input: 'Write 5 words.', max_output_tokens: 50, stream };
    const headers = { 'idempotency-key': `responses-${stream}` };
    const ask = async () => (await post(product.url, body, { path: '/v1/responses', headers })).text();
    const calls = callsOf('quick');
    const first = await ask();
    expect(await ask()).toBe(first);
    expect(callsOf('quick')).toBe(calls + 1);
  }
});
