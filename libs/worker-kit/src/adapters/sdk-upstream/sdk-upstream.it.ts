import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { BackendConfig } from '@meritorder/contracts';
import type { SdkProtocol } from '@meritorder/dialect-core';
import { usageReader } from '@meritorder/usage-core';
import { attempt, credentialed, terms, type World } from '../../application/attempt-world.for-tests.js';
import type { Credential } from '../../application/ports.js';
import { framesOf, PROTOCOLS, startProvider, type PhysicalCall } from './recorded-providers.for-tests.js';
import { readByOpenAi } from './read-by-openai.for-tests.js';
import { SdkUpstream } from './sdk-upstream.js';

type Any = Record<string, any>;
type Provider = Awaited<ReturnType<typeof startProvider>>;

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

async function provide(answer: (response: ServerResponse, call: PhysicalCall) => void): Promise<Provider> {
  const provider = await startProvider(answer);
  stops.push(() => provider.stop());
  return provider;
}

const SECRETS: Readonly<Record<SdkProtocol, Partial<Credential>>> = {
  gemini: { apiKey: 'key-of-gemini' },
  bedrock: { accessKey: { id: 'AKIAEXAMPLE', secret: 'secret-of-bedrock' }, region: 'eu-central-1' },
  anthropic: { apiKey: 'key-of-anthropic' },
};
const MODELS: Readonly<Record<SdkProtocol, string>> = {
  gemini: 'gemini-2.5-pro',
  bedrock: 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0',
  anthropic: 'claude-sonnet-4-5',
};

interface Asked {
  kind?: 'chat' | 'messages';
  stream?: boolean;
  body?: Any;
  model?: string;
  secrets?: Partial<Credential>;
  backend?: Partial<BackendConfig>;
  world?: World;
}

function ask(
  protocol: SdkProtocol,
  url: string,
  { kind = 'chat', stream = false, body, model, secrets, backend, world }: Asked = {},
) {
  const wire = new SdkUpstream(protocol);
  stops.push(() => wire.close());
  const credential = { id: 'main', baseUrl: url, ...(secrets ?? SECRETS[protocol]) } as Credential;
  return attempt({
    wire: credentialed(wire, [credential]),
    stream,
    nowMs: Date.now(),
    backend: {
      id: 'm',
      model: model ?? MODELS[protocol],
      connectTimeoutMs: 5_000,
      firstTokenTimeoutMs: 20_000,
      betweenTokensTimeoutMs: 20_000,
      ...backend,
    } as Partial<BackendConfig>,
    ...world,
    work: {
      terms: { ...terms, kind, deadlineAt: new Date(Date.now() + 30_000).toISOString() },
      body: { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 100, ...body },
      inputTokensExpected: 10,
    },
  });
}

/** A whole answer of "Hello" in few words. */
const HELLO: Readonly<Record<SdkProtocol, Any>> = {
  gemini: {
    candidates: [{ content: { role: 'model', parts: [{ text: 'Hello' }] }, finishReason: 'STOP' }],
    usageMetadata: {
      promptTokenCount: 100,
      cachedContentTokenCount: 60,
      candidatesTokenCount: 5,
      thoughtsTokenCount: 7,
      totalTokenCount: 112,
      serviceTier: 'flex',
    },
    modelVersion: 'gemini-2.5-pro-001',
    responseId: 'r-1',
  },
  bedrock: {
    output: { message: { role: 'assistant', content: [{ text: 'Hello' }] } },
    stopReason: 'end_turn',
    usage: {
      inputTokens: 40,
      outputTokens: 12,
      totalTokens: 112,
      cacheReadInputTokens: 50,
      cacheWriteInputTokens: 10,
      cacheDetails: [
        { ttl: '1h', inputTokens: 4 },
        { ttl: '5m', inputTokens: 6 },
      ],
    },
    metrics: { latencyMs: 5 },
    serviceTier: { type: 'flex' },
  },
  anthropic: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-4-5-20250929',
    content: [{ type: 'text', text: 'Hello' }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: {
      input_tokens: 40,
      cache_read_input_tokens: 50,
      cache_creation_input_tokens: 10,
      cache_creation: { ephemeral_5m_input_tokens: 6, ephemeral_1h_input_tokens: 4 },
      output_tokens: 12,
      service_tier: 'priority',
    },
  },
};

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  function (response: ServerResponse): void {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };

describe('what a provider is sent', () => {
  const MARK = { cache_control: { type: 'ephemeral', ttl: '1h' } };
  const body = {
    messages: [
      { role: 'system', content: [{ type: 'text', text: 'Rules.', ...MARK }] },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"near":true}' } }],
      },
      { role: 'tool', tool_call_id: 'call_1', content: 'a cat' },
    ],
    tools: [{ type: 'function', function: { name: 'look', description: 'Looks.', parameters: { type: 'object' } } }],
    tool_choice: 'required',
    temperature: 0.5,
    stop: ['END'],
    max_tokens: 77,
  };

  it('Gemini: its own words and its own header', async () => {
    const provider = await provide(json(HELLO.gemini));
    await ask('gemini', provider.url, { body: { ...body, seed: 7, reasoning_effort: 'low', service_tier: 'flex' } });
    const [call] = provider.calls;
    expect(call).toMatchObject({ method: 'POST', url: '/models/gemini-2.5-pro:generateContent' });
    expect(call!.headers).toMatchObject({
      'x-goog-api-key': 'key-of-gemini',
      'x-client-request-id': terms.attemptId,
    });
    expect(call!.body).toMatchObject({
      systemInstruction: { parts: [{ text: 'Rules.' }] },
      contents: [
        {
          role: 'user',
          parts: [{ text: 'What is this?' }, { inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } }],
        },
        { role: 'model', parts: [{ functionCall: { name: 'look', args: { near: true } } }] },
        { role: 'user', parts: [{ functionResponse: { name: 'look' } }] },
      ],
      generationConfig: { maxOutputTokens: 77, temperature: 0.5, stopSequences: ['END'], seed: 7 },
      toolConfig: { functionCallingConfig: { mode: 'ANY' } },
      serviceTier: 'flex',
    });
    expect(call!.body['generationConfig'].thinkingConfig.thinkingBudget).toBeGreaterThan(0);
  });

  it('Anthropic: its own words, the marks of its cache for an hour', async () => {
    const provider = await provide(json(HELLO.anthropic));
    await ask('anthropic', provider.url, { body: { ...body, service_tier: 'default', user: 'u-1' } });
    const [call] = provider.calls;
    expect(call).toMatchObject({ url: '/messages' });
    expect(call!.headers).toMatchObject({ 'x-api-key': 'key-of-anthropic', 'anthropic-version': '2023-06-01' });
    expect(call!.body).toMatchObject({
      model: 'claude-sonnet-4-5',
      max_tokens: 77,
      temperature: 0.5,
      stop_sequences: ['END'],
      service_tier: 'standard_only',
      metadata: { user_id: 'u-1' },
      system: [{ type: 'text', text: 'Rules.', cache_control: { type: 'ephemeral', ttl: '1h' } }],
      messages: [
        {
          role: 'user',
          content: [{ type: 'text' }, { type: 'image', source: { type: 'base64', media_type: 'image/png' } }],
        },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'call_1', name: 'look', input: { near: true } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'call_1' }] },
      ],
      tools: [{ name: 'look', input_schema: { type: 'object' } }],
      tool_choice: { type: 'any' },
    });
  });

  it('Bedrock: Converse, signed, with cache points for an hour', async () => {
    const provider = await provide(json(HELLO.bedrock));
    await ask('bedrock', provider.url, { body: { ...body, service_tier: 'flex' } });
    const [call] = provider.calls;
    expect(decodeURIComponent(call!.url)).toBe(`/model/${MODELS.bedrock}/converse`);
    expect(call!.headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE\/\d{8}\/eu-central-1\/bedrock\/aws4_request, SignedHeaders=.*, Signature=[0-9a-f]{64}$/,
    );
    expect(call!.headers).toHaveProperty('x-amz-date');
    expect(call!.body).toMatchObject({
      system: [{ text: 'Rules.' }, { cachePoint: { type: 'default', ttl: '1h' } }],
      inferenceConfig: { maxTokens: 77, temperature: 0.5, stopSequences: ['END'] },
      toolConfig: { tools: [{ toolSpec: { name: 'look' } }], toolChoice: { any: {} } },
      serviceTier: { type: 'flex' },
    });
    expect(call!.body['messages'].map((m: Any) => m['role'])).toEqual(['user', 'assistant', 'user']);
  });

  it.each<[SdkProtocol, number]>([
    ['bedrock', 2],
    ['gemini', 0],
  ])("%s, asked in Anthropic's messages: their marks go where its cache has some", async (protocol, marks) => {
    const provider = await provide(json(HELLO[protocol]));
    const cache_control = { type: 'ephemeral', ttl: '1h' };
    const text = { type: 'text', text: 'Hi', cache_control };
    const { finished } = await ask(protocol, provider.url, {
      body: { max_tokens: 50, system: [{ ...text, text: 'Rules.' }], messages: [{ role: 'user', content: [text] }] },
      world: { translated: true },
      kind: 'messages',
    });
    const points =
      JSON.stringify(provider.calls[0]!.body).split('"cachePoint":{"type":"default","ttl":"1h"}').length - 1;
    expect(points).toBe(marks);
    expect(finished[0]).toMatchObject({ type: 'message', content: [{ type: 'text', text: 'Hello' }] });
  });

  it.each<[SdkProtocol, string, Any]>([
    ['anthropic', 'claude-sonnet-4-5', { max_tokens: 5_000, thinking: { type: 'enabled', budget_tokens: 1_024 } }],
    ['anthropic', 'claude-opus-4-6', { max_tokens: 5_000, output_config: { effort: 'low' } }],
    [
      'bedrock',
      MODELS.bedrock,
      {
        inferenceConfig: { maxTokens: 5_000 },
        additionalModelRequestFields: { thinking: { type: 'enabled', budget_tokens: 1_024 } },
      },
    ],
    [
      'bedrock',
      'eu.anthropic.claude-opus-4-6-v1',
      { inferenceConfig: { maxTokens: 5_000 }, additionalModelRequestFields: { thinking: { type: 'adaptive' } } },
    ],
    [
      'bedrock',
      'openai.gpt-oss-120b-1:0',
      { inferenceConfig: { maxTokens: 5_000 }, additionalModelRequestFields: { reasoning_effort: 'low' } },
    ],
    ['gemini', 'gemini-2.5-pro', { generationConfig: { maxOutputTokens: 5_000 } }],
  ])('%s: %s thinks as much as it is asked to, within the limit', async (protocol, model, expected) => {
    const provider = await provide(json(HELLO[protocol]));
    await ask(protocol, provider.url, { model, body: { max_tokens: 5_000, reasoning_effort: 'low' } });
    expect(provider.calls[0]!.body).toMatchObject(expected);
  });

  it.each([true, false])(
    'Anthropic, streamed %s: what it thought before a call goes back with the result',
    async (stream) => {
      const content = [
        { type: 'thinking', thinking: 'Hm.', signature: 'seal' },
        { type: 'tool_use', id: 'toolu_1', name: 'look', input: {} },
      ];
      const answer = { ...HELLO.anthropic, content, stop_reason: 'tool_use' };
      const events = [
        { type: 'message_start', message: { ...answer, content: [], stop_reason: null } },
        { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hm.' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'seal' } },
        { type: 'content_block_stop', index: 0 },
        { type: 'content_block_start', index: 1, content_block: { ...content[1], input: {} } },
        { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{}' } },
        { type: 'content_block_stop', index: 1 },
        { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 12 } },
        { type: 'message_stop' },
      ];
      const provider = await provide((response) =>
        stream
          ? response.end(
              Buffer.concat(
                framesOf(
                  'anthropic',
                  events.map((event) => JSON.stringify(event)),
                ),
              ),
            )
          : json(answer)(response),
      );
      const { messages, tools } = { messages: [{ role: 'user', content: 'Look.' }], tools: body.tools };
      const chunks: Any[] = [];
      const { finished } = await ask('anthropic', provider.url, {
        stream,
        body: { max_tokens: 5_000, reasoning_effort: 'low', messages, tools },
        world: { onChunk: (_seq: number, _abort: unknown, text: string) => chunks.push(JSON.parse(text)) } as never,
      });
      const message = stream ? (await readByOpenAi(chunks))['choices'][0].message : finished[0]!['choices'][0].message;
      await ask('anthropic', provider.url, {
        body: {
          max_tokens: 5_000,
          reasoning_effort: 'low',
          tools,
          messages: [...messages, message, { role: 'tool', tool_call_id: 'toolu_1', content: 'a cat' }],
        },
      });
      expect(provider.calls.at(-1)!.body).toMatchObject({
        thinking: { type: 'enabled' },
        messages: [
          { role: 'user' },
          { role: 'assistant', content },
          { role: 'user', content: [{ type: 'tool_result' }] },
        ],
      });
    },
  );

  it.each<[SdkProtocol, string]>([
    ['gemini', '"inlineData":{"mimeType":"application/pdf","data":"aGk="}'],
    ['bedrock', '"source":{"bytes":"aGk="}'],
    ['anthropic', '"source":{"type":"base64","media_type":"application/pdf","data":"aGk="}'],
  ])('%s: a PDF', async (protocol, expected) => {
    const provider = await provide(json(HELLO[protocol]));
    const file = { filename: 'The plan.pdf', file_data: 'data:application/pdf;base64,aGk=' };
    const content = [
      { type: 'text', text: 'Read.' },
      { type: 'file', file },
    ];
    await ask(protocol, provider.url, { body: { messages: [{ role: 'user', content }] } });
    expect(JSON.stringify(provider.calls[0]!.body)).toContain(expected);
  });

  it('Bedrock with an API key: as a bearer', async () => {
    const provider = await provide(json(HELLO.bedrock));
    await ask('bedrock', provider.url, { secrets: { apiKey: 'key-of-bedrock', region: 'eu-central-1' } });
    expect(provider.calls[0]!.headers.authorization).toBe('Bearer key-of-bedrock');
  });

  it.each(PROTOCOLS)('%s: a schema of the answer', async (protocol) => {
    const provider = await provide(json(HELLO[protocol]));
    const schema = { type: 'object', properties: { colour: { type: 'string' } }, additionalProperties: false };
    const response_format = { type: 'json_schema', json_schema: { name: 'paint', schema } };
    await ask(protocol, provider.url, { body: { response_format } });
    expect(JSON.stringify(provider.calls[0]!.body)).toContain('"colour":{"type":"string"}');
  });

  it.each(PROTOCOLS)('%s: no credential of the environment', async (protocol) => {
    const ambient = [
      'GOOGLE_GENERATIVE_AI_API_KEY',
      'ANTHROPIC_API_KEY',
      'AWS_BEARER_TOKEN_BEDROCK',
      'AWS_SESSION_TOKEN',
    ];
    const before = ambient.map((name) => process.env[name]);
    for (const name of ambient) process.env[name] = 'ambient-secret';
    const provider = await provide(json(HELLO[protocol]));
    try {
      await ask(protocol, provider.url);
      if (protocol !== 'bedrock') await ask(protocol, provider.url, { secrets: {} });
    } finally {
      ambient.forEach((name, i) => {
        if (before[i] === undefined) delete process.env[name];
        else process.env[name] = before[i];
      });
    }
    expect(provider.calls.length).toBeGreaterThan(0);
    expect(JSON.stringify(provider.calls)).not.toContain('ambient-secret');
  });
});

describe('what is booked is what the provider counted', () => {
  const vector = {
    inputTokens: 40,
    cacheReadTokens: 50,
    cacheWrite5mTokens: 6,
    cacheWrite1hTokens: 4,
    outputTokens: 12,
  };
  const gemini = { ...vector, cacheReadTokens: 60, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0, reasoningTokens: 7 };
  it.each<[SdkProtocol, Any, Any]>([
    ['gemini', gemini, { servedModel: 'gemini-2.5-pro-001', servedTier: 'flex', providerCallId: 'r-1' }],
    ['bedrock', vector, { servedTier: 'flex' }],
    [
      'anthropic',
      vector,
      { servedModel: 'claude-sonnet-4-5-20250929', servedTier: 'priority', providerCallId: 'msg_1' },
    ],
  ])('%s: cache, thoughts, tier, and who it was', async (protocol, usage, facts) => {
    const provider = await provide(json(HELLO[protocol]));
    const { closed, finished } = await ask(protocol, provider.url);
    expect(closed[0]).toMatchObject({ outcome: 'finished', usageBasis: 'reported', usage, ...facts });
    expect(finished[0]).toMatchObject({
      object: 'chat.completion',
      choices: [{ message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 100, completion_tokens: 12, total_tokens: 112 },
      meritorder: { usage },
    });
  });
});

const OVERLOADED: Readonly<Record<SdkProtocol, Any>> = {
  gemini: { error: { code: 503, message: 'The model is overloaded.', status: 'UNAVAILABLE' } },
  bedrock: { serviceUnavailableException: { message: 'Too busy.' } },
  anthropic: { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
};
const FIRST: Readonly<Record<SdkProtocol, Any[]>> = {
  gemini: [{ candidates: [{ content: { role: 'model', parts: [{ text: 'Hel' }] } }] }],
  bedrock: [
    { messageStart: { role: 'assistant' } },
    { contentBlockDelta: { contentBlockIndex: 0, delta: { text: 'Hel' } } },
  ],
  anthropic: [
    { type: 'message_start', message: { ...HELLO.anthropic, content: [], stop_reason: null } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hel' } },
  ],
};
const streamed = (protocol: SdkProtocol, events: Any[]): Buffer =>
  Buffer.concat(
    framesOf(
      protocol,
      events.map((event) => JSON.stringify(event)),
    ),
  );

describe('a provider that fails is called once', () => {
  const failures = PROTOCOLS.flatMap((protocol) =>
    [false, true].flatMap((stream) =>
      (
        [
          [429, 'quota', true],
          [500, 'server-error', true],
          [503, 'server-error', true],
          [529, 'server-error', true],
          [401, 'credential', true],
          [400, 'caller-fault', false],
        ] as const
      ).map((row) => [protocol, stream, ...row] as const),
    ),
  );
  it.each(failures)('%s, streamed %s: %i is %s', async (protocol, stream, status, code, retryable) => {
    const error = { type: 'x', message: 'the reason', status: 'X' };
    const answer = protocol === 'bedrock' ? { message: 'the reason' } : { type: 'error', error };
    const provider = await provide(json(answer, status, { 'retry-after': '7' }));
    const { sent, closed } = await ask(protocol, provider.url, { stream });
    expect(provider.calls).toHaveLength(1);
    expect(sent.find(({ type }) => type === 'failed')).toMatchObject({ code, retryable, status });
    expect(closed[0]).toMatchObject({ outcome: 'failed', sent: true, refusedUpstream: true });
    if (status === 429) expect(sent.find(({ type }) => type === 'failed')).toMatchObject({ retryAfterSeconds: 7 });
  });

  it.each(PROTOCOLS)('%s: an error in the first event, before anybody was told anything', async (protocol) => {
    const provider = await provide((r) => r.writeHead(200).end(streamed(protocol, [OVERLOADED[protocol]])));
    const { sent, closed } = await ask(protocol, provider.url, { stream: true });
    expect(provider.calls).toHaveLength(1);
    expect(sent.find(({ type }) => type === 'failed')).toMatchObject({ code: 'server-error', retryable: true });
    expect(closed[0]).toMatchObject({ outcome: 'failed', sent: true, refusedUpstream: false });
  });

  it.each(PROTOCOLS)('%s: an error in the middle ends the stream for its reader', async (protocol) => {
    const events = [...FIRST[protocol], OVERLOADED[protocol]];
    const provider = await provide((r) => r.writeHead(200).end(streamed(protocol, events)));
    const { log, closed } = await ask(protocol, provider.url, { stream: true });
    expect(provider.calls).toHaveLength(1);
    expect(log).toContain('error stream_cut');
    expect(closed[0]).toMatchObject({ outcome: 'failed', code: 'server-error', usageBasis: 'estimated' });
  });

  it.each(PROTOCOLS)('%s: an answer that is no JSON', async (protocol) => {
    const provider = await provide((r) => r.writeHead(200).end('<html>'));
    const { sent } = await ask(protocol, provider.url);
    expect(provider.calls).toHaveLength(1);
    expect(sent.find(({ type }) => type === 'failed')).toMatchObject({ code: 'protocol', retryable: true });
  });

  it.each([false, true])('Gemini, streamed %s: an answer that is to be continued is not', async (stream) => {
    const first = structuredClone(HELLO.gemini);
    Object.assign(first['candidates'][0], { finishReason: 'CONTINUATION', continuationToken: 't' });
    const provider = await provide((r) =>
      r.writeHead(200).end(stream ? streamed('gemini', [first]) : JSON.stringify(first)),
    );
    const { closed } = await ask('gemini', provider.url, { stream });
    expect(provider.calls).toHaveLength(1);
    expect(closed[0]).toMatchObject({ outcome: 'failed', code: 'protocol', usageBasis: 'reported' });
  });
});

describe('Gemini ends without an answer', () => {
  it.each([
    ['UNEXPECTED_TOOL_CALL', false],
    ['UNEXPECTED_TOOL_CALL', true],
    ['MALFORMED_FUNCTION_CALL', false],
    ['MALFORMED_FUNCTION_CALL', true],
  ])('by %s, streamed %s: another is asked, what was counted is booked', async (finishReason, stream) => {
    const none = { ...HELLO.gemini, candidates: [{ content: {}, finishReason }] };
    const provider = await provide((r) =>
      r.writeHead(200).end(stream ? streamed('gemini', [none]) : JSON.stringify(none)),
    );
    const { sent, closed } = await ask('gemini', provider.url, { stream });
    expect(sent.find(({ type }) => type === 'failed')).toMatchObject({ retryable: true });
    expect(sent.find(({ type }) => type === 'failed')).toHaveProperty(
      'message',
      expect.stringContaining(`broke off (${finishReason})`),
    );
    expect(closed[0]).toMatchObject({ outcome: 'failed', usageBasis: 'reported' });
  });
});

describe('nothing is sent', () => {
  it.each<[string, SdkProtocol, Asked]>([
    ['that the protocol cannot say', 'anthropic', { body: { seed: 7 } }],
    [
      'where the SDK knows that the model refuses a setting',
      'anthropic',
      { model: 'claude-opus-4-7', body: { temperature: 0.5 } },
    ],
    [
      'where a model cannot think at all',
      'anthropic',
      { model: 'claude-3-5-haiku-latest', body: { max_tokens: 5_000, reasoning_effort: 'low' } },
    ],
    ['where the thoughts leave no room', 'anthropic', { body: { max_tokens: 1_000, reasoning_effort: 'low' } }],
    ['where the SDK leaves out a setting', 'gemini', { model: 'gemini-2.5-flash', body: { presence_penalty: 0.5 } }],
    ['where the SDK refuses an image', 'bedrock', { body: { messages: [image('image/tiff')] } }],
  ])('%s', async (_name, protocol, asked) => {
    const provider = await provide(json(HELLO[protocol]));
    const { sent, closed } = await ask(protocol, provider.url, asked);
    expect(provider.calls).toHaveLength(0);
    expect(sent.find(({ type }) => type === 'failed')).toMatchObject({ code: 'caller-fault', retryable: true });
    expect(closed[0]).toMatchObject({ outcome: 'not-sent', sent: false });
  });

  it('without what a signature needs, nor to where nobody listens', async () => {
    const provider = await provide(json(HELLO.bedrock));
    const without = await ask('bedrock', provider.url, { secrets: {} });
    expect(without.sent.find(({ type }) => type === 'failed')).toMatchObject({ code: 'credential' });
    expect(provider.calls).toHaveLength(0);
    const nowhere = await ask('anthropic', 'http://127.0.0.1:1');
    expect(nowhere.sent.find(({ type }) => type === 'failed')).toMatchObject({ code: 'connect', retryable: true });
    expect(nowhere.closed[0]).toMatchObject({ sent: false });
  });
});

describe('a stream that is left', () => {
  it.each(PROTOCOLS)('%s: a cancel closes the connection, and what was heard is estimated', async (protocol) => {
    const provider = await provide((r) => void r.writeHead(200).write(streamed(protocol, FIRST[protocol])));
    const { closed, log } = await ask(protocol, provider.url, {
      stream: true,
      world: { onChunk: (_seq, abort) => abort.abort('cancelled') },
    });
    await provider.calls[0]!.closed;
    expect(log).toContain('answer cancelled');
    expect(closed[0]).toMatchObject({ outcome: 'cancelled', usageBasis: 'estimated' });
  });

  it.each(PROTOCOLS)('%s: whoever has read enough closes the connection', async (protocol) => {
    const provider = await provide((r) => void r.writeHead(200).write(streamed(protocol, FIRST[protocol])));
    const wire = new SdkUpstream(protocol);
    stops.push(() => wire.close());
    const signal = new AbortController().signal;
    const chunks = wire.stream({
      backend: {
        model: MODELS[protocol],
        firstTokenTimeoutMs: 20_000,
        betweenTokensTimeoutMs: 20_000,
      } as BackendConfig,
      credential: { id: 'main', baseUrl: provider.url, ...SECRETS[protocol] },
      attemptId: 'attempt-1',
      body: { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 100 },
      stream: true,
      includeUsage: false,
      deadlineMs: Date.now() + 30_000,
      firstTokenTimeoutMs: 20_000,
      signal,
      reader: usageReader(wire.dialect),
      headers: {},
    });
    for await (const _chunk of chunks) break;
    await provider.calls[0]!.closed;
    expect(signal.aborted).toBe(false);
  });

  it.each(PROTOCOLS)('%s: one that says nothing more is given up', async (protocol) => {
    const provider = await provide((r) => void r.writeHead(200).write(streamed(protocol, FIRST[protocol])));
    const { closed, log } = await ask(protocol, provider.url, {
      stream: true,
      backend: { betweenTokensTimeoutMs: 50 },
    });
    await provider.calls[0]!.closed;
    expect(log).toContain('error stream_cut');
    expect(closed[0]).toMatchObject({ outcome: 'failed', code: 'timeout' });
  });
});

function image(type: string): Any {
  return { role: 'user', content: [{ type: 'image_url', image_url: { url: `data:${type};base64,AAAA` } }] };
}
