import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ACME_KEY, startGatewayProduct } from './gateway-product.js';
import { startScriptedProvider, type ScriptedProvider } from './scripted-provider.js';

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let scripted: ScriptedProvider;
let openai: OpenAI;

const WORDS = "Unsupported value: 'temperature' does not support 0.2 with this model.";

/** As OpenAI's reasoning models refuse a setting. */
const ofOpenAi = { error: { message: WORDS, type: 'invalid_request_error', param: 'x', code: 'unsupported_value' } };
const extra = (...loc: unknown[]) => ({ type: 'extra_forbidden', loc, msg: 'Extra inputs are not permitted' });

/** What Mistral does not know, at the places where others know it. */
function extrasIn({ user, messages }: Record<string, any>): object[] {
  const known = ['role', 'content', 'tool_calls', 'tool_call_id'];
  return [
    ...(user === undefined ? [] : [extra('body', 'user')]),
    ...messages.flatMap((message: object, i: number) =>
      Object.keys(message)
        .filter((field) => !known.includes(field))
        .map((field) => extra('body', 'messages', i, field)),
    ),
    ...messages.filter(({ role }: { role: string }) => role === 'developer').map(() => ({ type: 'union_tag_invalid' })),
  ];
}

/** So far apart that whatever is learned of lengths does not turn the order. */
const price = (usd: string) => [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: usd, outputUsdPerMillionTokens: usd },
  },
];

const FORBIDDEN = {
  code: 'The caller does not have permission to execute the specified operation',
  error: 'Content violates usage guidelines. Team: t, API key ID: k, Model: grok, Failed check: SAFETY_CHECK_TYPE_BIO',
};
const TOO_LONG = {
  error: {
    code: 400,
    message: 'request (5012 tokens) exceeds the available context size (4096 tokens), try increasing it',
    type: 'exceed_context_size_error',
  },
};

/** By the word that is asked: xAI's refusal of what it forbids, a 403 that nobody knows, llama.cpp's of a prompt. */
function strictSays(word: string): { status: number; body: object } | undefined {
  if (word === 'forbidden') return { status: 403, body: FORBIDDEN };
  if (word === 'odd') return { status: 403, body: { error: { message: 'Not this one', code: 'policy_7' } } };
  return word === 'long' ? { status: 400, body: TOO_LONG } : undefined;
}

beforeAll(async () => {
  scripted = await startScriptedProvider((body) => {
    if (body['model'] === 'strict') return strictSays(body['messages'].at(-1).content);
    if (body['model'].startsWith('thinker') && body['temperature'] !== undefined)
      return { status: 400, body: ofOpenAi };
    const extras = body['model'] === 'mistral' ? extrasIn(body) : [];
    if (body['model'] === 'mistral' && body['seed'] !== undefined) extras.push(extra('body', 'seed'));
    return extras.length === 0
      ? undefined
      : { status: 422, body: { object: 'error', message: { detail: extras }, type: 'invalid_request_error' } };
  });
  const at = (id: string, more: object) => ({ id, config: { baseUrl: scripted.url, ...more } });
  product = await startGatewayProduct({
    backends: [
      at('thinker', { prices: price('0.1') }),
      at('thinker-2', { prices: price('0.1') }),
      at('mistral', { provider: 'mistral', catalogue: false, prices: price('0.1') }),
      at('strict', { prices: price('0.1') }),
      at('plain', { prices: price('10') }),
    ],
    config: {
      routes: [
        { id: 'auto', backends: ['thinker', 'plain'], exploration: false },
        { id: 'from-mistral', backends: ['mistral', 'plain'], exploration: false },
        { id: 'strict-first', backends: ['strict', 'plain'], exploration: false },
        { id: 'thinkers', backends: ['thinker', 'thinker-2'], exploration: false },
      ],
    },
  });
  openai = new OpenAI({ baseURL: `${product.url}/v1`, apiKey: ACME_KEY, maxRetries: 0 });
});
afterAll(async () => {
  await product?.stop();
  await scripted?.stop();
});

const HI = [{ role: 'user' as const, content: 'Hi' }];
const ask = async (model: string, more: object = {}): Promise<any> =>
  openai.chat.completions.create({ model, messages: HI, max_tokens: 50, ...more } as never);

it('what one model of a route cannot be told, another is: each time, and the one is asked for what it can', async () => {
  // More than a breaker bears, and than there are retries.
  for (let i = 0; i < 30; i++) {
    const { meritorder } = await ask('auto', { temperature: 0.2 });
    expect(meritorder.backend).toBe('plain');
    expect(meritorder.attempts).toMatchObject([
      { backend: 'thinker', outcome: 'failed', code: 'caller-fault' },
      { backend: 'plain', outcome: 'finished' },
    ]);
  }
  expect((await ask('auto')).meritorder).toMatchObject({ backend: 'thinker', attempts: [{ outcome: 'finished' }] });
});

it('streams go on alike', async () => {
  const stream = await openai.chat.completions.create({
    model: 'auto',
    messages: HI,
    temperature: 0.2,
    stream: true,
  });
  let said = '';
  for await (const { choices } of stream) said += choices[0]?.delta.content ?? '';
  expect(said).toBe('all is fine');
});

it('what no model can be told is the fault of the caller, in the words of the provider', async () => {
  for (const [model, calls] of [
    ['thinker', 1],
    ['thinkers', 2],
  ] as const) {
    const before = scripted.asked.length;
    await expect(ask(model, { temperature: 0.2 })).rejects.toMatchObject({
      status: 400,
      code: 'upstream_rejected',
      message: expect.stringContaining(WORDS),
    });
    expect(scripted.asked).toHaveLength(before + calls);
  }
});

it("Mistral's refusal of a field it does not know goes on, too", async () => {
  expect((await ask('from-mistral', { seed: 1 })).meritorder.backend).toBe('plain');
  await expect(ask('mistral', { seed: 1 })).rejects.toMatchObject({ status: 400, code: 'upstream_rejected' });
});

it('Mistral is not sent what it refuses: who asks and speaks, another role, what another model thought', async () => {
  const messages = [
    { role: 'developer', content: 'Be brief.' },
    { role: 'user', name: 'Ann', content: 'Hi' },
    { role: 'assistant', content: 'Hm', refusal: null, annotations: [], reasoning_content: 'I think' },
    { role: 'user', content: 'Go on' },
  ];
  const { meritorder } = await ask('from-mistral', { messages, user: 'u1' });
  expect(meritorder).toMatchObject({ backend: 'mistral', attempts: [{ outcome: 'finished' }] });
  const sent = scripted.asked.at(-1)!;
  expect(sent['messages'].map((m: object) => Object.keys(m))).toEqual(messages.map(() => ['role', 'content']));
  expect(sent['messages'][0].role).toBe('system');
});

const say = (content: string) => ({ messages: [{ role: 'user', content }] });

it('what a provider forbids is asked of nobody else, and takes its backend from nobody', async () => {
  for (let i = 0; i < 3; i++) {
    const before = scripted.asked.length;
    await expect(ask('strict-first', say('forbidden'))).rejects.toMatchObject({
      status: 400,
      code: 'content_filtered',
    });
    expect(scripted.asked).toHaveLength(before + 1);
    expect((await ask('strict-first')).meritorder).toMatchObject({
      backend: 'strict',
      attempts: [{ outcome: 'finished' }],
    });
  }
});

it('a 403 for no known reason goes on to the next backend, and takes the first from nobody', async () => {
  const { meritorder } = await ask('strict-first', say('odd'));
  expect(meritorder.attempts).toMatchObject([
    { backend: 'strict', outcome: 'failed', code: 'caller-fault' },
    { backend: 'plain', outcome: 'finished' },
  ]);
  expect((await ask('strict')).meritorder.backend).toBe('strict');
});

it('a prompt that is too long for an engine goes on to one that takes it', async () => {
  const { meritorder } = await ask('strict-first', say('long'));
  expect(meritorder.attempts).toMatchObject([
    { backend: 'strict', outcome: 'failed', code: 'context-length' },
    { backend: 'plain', outcome: 'finished' },
  ]);
});
