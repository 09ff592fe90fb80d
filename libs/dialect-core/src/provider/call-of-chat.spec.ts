import { describe, expect, it } from 'vitest';
import { callOfChat, type SdkProtocol } from '../index.js';

type Any = Record<string, any>;
const PROTOCOLS: SdkProtocol[] = ['gemini', 'bedrock', 'anthropic'];
const TOOL = {
  type: 'function',
  function: { name: 'weather', description: 'Of a city.', parameters: { type: 'object' } },
};
const CALL = { id: 'call-1', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } };

const bodyWith = (more: Any): any => ({
  model: 'm',
  messages: [{ role: 'user', content: 'Hi' }],
  max_tokens: 50,
  ...more,
});
const told = (protocol: SdkProtocol, more: Any): Any => {
  const { options, uncarried } = callOfChat(protocol, bodyWith(more));
  expect(uncarried).toEqual([]);
  return options;
};
const uncarried = (protocol: SdkProtocol, more: Any): string[] =>
  callOfChat(protocol, bodyWith(more)).uncarried.map(({ path }) => path);

describe.each(PROTOCOLS)('a chat completion for %s', (protocol) => {
  it('keeps the conversation: instructions, images, calls and their results together', () => {
    const { prompt } = told(protocol, {
      tools: [TOOL],
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'developer', content: [{ type: 'text', text: 'In English.' }] },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Where is this?' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
          ],
        },
        { role: 'assistant', content: 'I ask.', tool_calls: [CALL, { ...CALL, id: 'call-2' }] },
        { role: 'tool', tool_call_id: 'call-1', content: 'sunny' },
        { role: 'tool', tool_call_id: 'call-2', content: [{ type: 'text', text: 'rain' }] },
        { role: 'user', content: 'So?' },
      ],
    });
    const call = (toolCallId: string) => ({
      type: 'tool-call',
      toolCallId,
      toolName: 'weather',
      input: { city: 'Rome' },
    });
    const result = (toolCallId: string, value: string) => ({
      type: 'tool-result',
      toolCallId,
      toolName: 'weather',
      output: { type: 'text', value },
    });
    expect(prompt).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'system', content: 'In English.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Where is this?' },
          { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'AAAA' } },
        ],
      },
      { role: 'assistant', content: [{ type: 'text', text: 'I ask.' }, call('call-1'), call('call-2')] },
      { role: 'tool', content: [result('call-1', 'sunny'), result('call-2', 'rain')] },
      { role: 'user', content: [{ type: 'text', text: 'So?' }] },
    ]);
  });

  it('takes an answer back as it came, without what its model thought, and leaves names out', () => {
    const aside = { name: 'Ann' };
    const answer = {
      ...aside,
      role: 'assistant',
      refusal: null,
      annotations: [{ type: 'url_citation' }],
      parsed: { city: 'Rome' },
      audio: null,
      function_call: null,
      reasoning_content: 'Hm.',
      reasoning: 'Hm.',
      reasoning_details: [{ type: 'reasoning.text', text: 'Hm.' }],
    };
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'I ask.', tool_calls: [CALL] },
      { role: 'tool', tool_call_id: 'call-1', content: 'sunny' },
    ];
    const plain = told(protocol, { tools: [TOOL], messages });
    const named = messages.map((message) => ({ ...(message.role === 'assistant' ? answer : aside), ...message }));
    expect(told(protocol, { tools: [TOOL], messages: named })).toEqual(plain);
  });

  it('takes a call back with the arguments that a client parsed', () => {
    const asked = (made: Any) => ({
      tools: [TOOL],
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: null, parsed: null, tool_calls: [{ ...CALL, function: made }] },
        { role: 'tool', tool_call_id: 'call-1', content: 'sunny' },
      ],
    });
    const parsed = { ...CALL.function, parsed_arguments: { city: 'Rome' } };
    expect(told(protocol, asked(parsed))).toEqual(told(protocol, asked(CALL.function)));
  });

  it('has a PDF of the request as a file', () => {
    const file = { filename: 'plan.pdf', file_data: 'data:application/pdf;base64,aGk=' };
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Read.' },
          { type: 'file', file },
        ],
      },
    ];
    expect(told(protocol, { messages }).prompt[0].content[1]).toEqual({
      type: 'file',
      mediaType: 'application/pdf',
      filename: 'plan.pdf',
      data: { type: 'data', data: 'aGk=' },
    });
  });

  it('names calls and results by ids that the provider takes, whoever made them', () => {
    const conversation = (id: string) => ({
      tools: [TOOL],
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: null, tool_calls: [{ ...CALL, id }] },
        { role: 'tool', tool_call_id: id, content: 'sunny' },
      ],
    });
    const idsOf = (id: string): unknown[] =>
      told(protocol, conversation(id))
        .prompt.slice(1)
        .map(({ content }: Any) => [content[0].toolCallId, content[0].toolName]);
    const [call, result] = idsOf('functions.weather:0');
    expect(call).toEqual([
      protocol === 'gemini' ? 'functions.weather:0' : expect.stringMatching(/^[\w-]{1,64}$/),
      'weather',
    ]);
    expect(result).toEqual(call);
    expect(idsOf('call-1')).toEqual([
      ['call-1', 'weather'],
      ['call-1', 'weather'],
    ]);
  });

  it('has no message for an answer that was all thought', () => {
    const { prompt } = told(protocol, {
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: null, reasoning_content: 'Hm.' },
        { role: 'user', content: 'So?' },
      ],
    });
    expect(prompt.map(({ role }: Any) => role)).toEqual(['user', 'user']);
  });

  it('keeps the settings, and tools with the choice among them', () => {
    const options = told(protocol, {
      temperature: 0.5,
      stop: 'END',
      tools: [TOOL],
      tool_choice: { type: 'function', function: { name: 'weather' } },
      max_completion_tokens: 40,
    });
    expect(options).toMatchObject({
      maxOutputTokens: 40,
      temperature: 0.5,
      stopSequences: ['END'],
      tools: [{ type: 'function', name: 'weather', description: 'Of a city.', inputSchema: { type: 'object' } }],
      toolChoice: { type: 'tool', toolName: 'weather' },
    });
  });

  it('keeps the schema of the answer', () => {
    const schema = { type: 'object', properties: { a: { type: 'number' } } };
    const { responseFormat } = told(protocol, {
      response_format: { type: 'json_schema', json_schema: { name: 'sum', schema, strict: true } },
    });
    expect(responseFormat).toEqual({ type: 'json', name: 'sum', schema });
  });

  it('passes over values that say what is so without them', () => {
    const plain = told(protocol, {});
    const more = {
      n: 1,
      logprobs: false,
      logit_bias: {},
      presence_penalty: 0,
      stop: [],
      tools: [],
      seed: null,
      store: false,
    };
    expect(told(protocol, { ...more, parallel_tool_calls: true, stream: true, modalities: ['text'] })).toEqual(plain);
  });

  it.each<[string, Any, string]>([
    ['several choices', { n: 2 }, 'n'],
    ['probabilities', { logprobs: true }, 'logprobs'],
    ['a bias', { logit_bias: { 5: 1 } }, 'logit_bias'],
    ['an unknown field', { verbosity: 'low' }, 'verbosity'],
    ['an unknown tier', { service_tier: 'gold' }, 'service_tier'],
    ["a provider's own tool", { tools: [{ type: 'web_search' }] }, 'tools.0'],
    ['a choice of several tools', { tools: [TOOL], tool_choice: { type: 'allowed_tools' } }, 'tool_choice'],
    ['a choice of no tools', { tool_choice: 'required' }, 'tool_choice'],
    ['an unknown format', { response_format: { type: 'grammar' } }, 'response_format'],
    ['a format without its schema', { response_format: { type: 'json_schema' } }, 'response_format'],
    [
      'an answer that was spoken',
      {
        messages: [
          { role: 'assistant', content: 'x', audio: { id: 'a' } },
          { role: 'user', content: 'y' },
        ],
      },
      'messages.0.audio',
    ],
    [
      'a file by its id',
      { messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'f-1' } }] }] },
      'messages.0.content.0.file',
    ],
    [
      'a file of another kind',
      { messages: [{ role: 'user', content: [{ type: 'file', file: { file_data: 'data:text/csv;base64,AA==' } }] }] },
      'messages.0.content.0.file',
    ],
    [
      'an image in detail',
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,A', detail: 'high' } }],
          },
        ],
      },
      'messages.0.content.0.image_url.detail',
    ],
    [
      'instructions after the beginning',
      {
        messages: [
          { role: 'user', content: 'x' },
          { role: 'system', content: 'y' },
        ],
      },
      'messages.1',
    ],
    [
      'an answer to be continued',
      {
        messages: [
          { role: 'user', content: 'x' },
          { role: 'assistant', content: 'y' },
        ],
      },
      'messages.1',
    ],
    [
      'arguments that are no object',
      {
        tools: [TOOL],
        messages: [
          { role: 'assistant', tool_calls: [{ ...CALL, function: { name: 'weather', arguments: '[1' } }] },
          { role: 'user', content: 'x' },
        ],
      },
      'messages.0.tool_calls.0',
    ],
    [
      'a result of no call',
      { tools: [TOOL], messages: [{ role: 'tool', tool_call_id: 'c', content: 'x' }] },
      'messages.0.tool_call_id',
    ],
    ['an old function', { messages: [{ role: 'function', name: 'f', content: 'x' }] }, 'messages.0'],
  ])('%s is named, never dropped', (_name, more, path) => {
    expect(uncarried(protocol, more)).toEqual([path]);
  });
});

describe('what one protocol says and another does not', () => {
  const image = {
    messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x.test/a.png' } }] }],
  };
  const schema = { response_format: { type: 'json_schema', json_schema: { schema: { type: 'object' } } } };
  const history = {
    messages: [
      { role: 'assistant', tool_calls: [CALL] },
      { role: 'tool', tool_call_id: 'call-1', content: 'x' },
    ],
  };
  it.each<[string, Any, SdkProtocol[]]>([
    ['a seed', { seed: 5 }, ['gemini']],
    ['a penalty', { presence_penalty: 0.5 }, ['gemini']],
    ['reasoning', { reasoning_effort: 'low' }, ['gemini', 'bedrock', 'anthropic']],
    ['no reasoning, and how to sample', { reasoning_effort: 'none', temperature: 0.5 }, PROTOCOLS],
    ['reasoning, and how to sample', { reasoning_effort: 'low', temperature: 0.5 }, ['gemini']],
    ['reasoning before a forced tool', { reasoning_effort: 'low', tools: [TOOL], tool_choice: 'required' }, ['gemini']],
    ['reasoning of no known effort', { reasoning_effort: 'utmost' }, []],
    ['a high temperature', { temperature: 1.5 }, ['gemini']],
    ['JSON of no schema', { response_format: { type: 'json_object' } }, ['gemini']],
    ['both ways of sampling', { temperature: 0.5, top_p: 0.5 }, ['gemini', 'bedrock']],
    ['one call at a time', { tools: [TOOL], parallel_tool_calls: false }, ['anthropic']],
    ['an image by its address', image, ['anthropic']],
    ['a flexible tier', { service_tier: 'flex' }, ['gemini', 'bedrock']],
    ['a forced tool beside a schema', { tools: [TOOL], tool_choice: 'required', ...schema }, ['gemini']],
    ['calls without their tools', history, ['gemini', 'anthropic']],
    ['strict tools', { tools: [{ ...TOOL, function: { name: 'f', strict: true } }] }, ['gemini', 'anthropic']],
  ])('%s', (_name, more, by) => {
    expect(PROTOCOLS.filter((protocol) => uncarried(protocol, more).length === 0)).toEqual(by);
  });

  it('marks of the cache go where a cache has marks', () => {
    const mark = { type: 'ephemeral', ttl: '1h' };
    const content = [{ type: 'text', text: 'Rules.', cache_control: mark }];
    const messages = [
      { role: 'system', content },
      { role: 'user', content: 'x' },
    ];
    const [gemini, bedrock, anthropic] = PROTOCOLS.map((p) => told(p, { messages })['prompt'][0].providerOptions);
    expect(gemini).toBeUndefined();
    expect(bedrock).toEqual({ bedrock: { cachePoint: { type: 'default', ttl: '1h' } } });
    expect(anthropic).toEqual({ anthropic: { cacheControl: { type: 'ephemeral', ttl: '1h' } } });
  });

  it('the standard tier is asked for by its name where the provider would choose another', () => {
    const of = (service_tier: string) => PROTOCOLS.map((p) => told(p, { service_tier })['providerOptions']);
    const [gemini, bedrock, anthropic] = of('default');
    expect(of('on_demand')).toEqual(of('default'));
    expect(gemini).toEqual({ google: { serviceTier: 'standard' } });
    expect(bedrock).toEqual({ bedrock: { serviceTier: 'default' } });
    expect(anthropic).toEqual({ anthropic: { serviceTier: 'standard_only' } });
  });
});
