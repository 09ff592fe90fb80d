import { describe, expect, it } from 'vitest';
import { ChatRequest, MessagesRequest } from '@meritorder/contracts';
import { chatOfMessages } from './index.js';

type Any = Record<string, any>;
const base = { model: 'auto', max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] };
const read = (more: Any, purpose: Parameters<typeof chatOfMessages>[1] = 'wire') =>
  chatOfMessages(MessagesRequest.parse({ ...base, ...more }), purpose);
const user = (...content: Any[]): Any => ({ messages: [{ role: 'user', content }] });
const PNG = { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' };

describe('a messages request as a chat completion', () => {
  it('carries a whole conversation with tools, images and a system of blocks', () => {
    const { chat, uncarried, unbounded } = read({
      stream: true,
      temperature: 0.5,
      top_p: 0.9,
      stop_sequences: ['END'],
      system: [
        { type: 'text', text: 'Be brief.' },
        { type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } },
      ],
      tools: [{ name: 'look', description: 'Looks.', input_schema: { type: 'object', properties: {} } }],
      tool_choice: { type: 'tool', name: 'look', disable_parallel_tool_use: true },
      metadata: { user_id: 'u-1' },
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image', source: PNG },
          ],
        },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'I look.' },
            { type: 'tool_use', id: 'toolu_1', name: 'look', input: { at: 'it' } },
            { type: 'tool_use', id: 'toolu_2', name: 'look', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: 'A cat.' }] },
            { type: 'tool_result', tool_use_id: 'toolu_2', content: 'broken', is_error: true },
            { type: 'text', text: 'Well?' },
          ],
        },
      ],
    });
    expect(uncarried).toEqual([]);
    expect(unbounded).toBeUndefined();
    expect(chat).toEqual({
      model: 'auto',
      max_tokens: 100,
      stream: true,
      temperature: 0.5,
      top_p: 0.9,
      stop: ['END'],
      user: 'u-1',
      tools: [
        {
          type: 'function',
          function: { name: 'look', description: 'Looks.', parameters: { type: 'object', properties: {} } },
        },
      ],
      tool_choice: { type: 'function', function: { name: 'look' } },
      parallel_tool_calls: false,
      messages: [
        {
          role: 'system',
          content: [
            { type: 'text', text: 'Be brief.' },
            { type: 'text', text: 'Be kind.' },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
          ],
        },
        {
          role: 'assistant',
          content: 'I look.',
          tool_calls: [
            { id: 'toolu_1', type: 'function', function: { name: 'look', arguments: '{"at":"it"}' } },
            { id: 'toolu_2', type: 'function', function: { name: 'look', arguments: '{}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'toolu_1', content: 'A cat.' },
        {
          role: 'tool',
          tool_call_id: 'toolu_2',
          content: [
            { type: 'text', text: 'The tool failed: ' },
            { type: 'text', text: 'broken' },
          ],
        },
        { role: 'user', content: 'Well?' },
      ],
    });
    expect(ChatRequest.parse(chat)).toEqual(chat);
  });

  it.each([
    [{ type: 'auto' }, { tool_choice: 'auto' }],
    [{ type: 'any' }, { tool_choice: 'required' }],
    [{ type: 'none' }, { tool_choice: 'none' }],
    [
      { type: 'auto', disable_parallel_tool_use: false },
      { tool_choice: 'auto', parallel_tool_calls: true },
    ],
  ])('the choice of tools %o', (tool_choice, expected) => {
    expect(read({ tool_choice }).chat).toMatchObject(expected);
  });

  it.each(['reading', 'wire', 'marked-wire'] as const)(
    'leaves out of a tool how the arguments of its calls are cut into pieces: %s',
    (purpose) => {
      const tool = { name: 'look', input_schema: { type: 'object' } };
      const plain = read({ tools: [tool] }, purpose);
      expect(read({ tools: [{ ...tool, eager_input_streaming: true }] }, purpose)).toMatchObject({
        chat: plain.chat,
        uncarried: [],
      });
      expect(plain.chat.tools).toEqual([
        { type: 'function', function: { name: 'look', parameters: { type: 'object' } } },
      ]);
    },
  );

  it('a schema for the answer, and a tier that is no dearer', () => {
    const schema = { type: 'object' };
    const { chat, uncarried } = read({
      output_config: { format: { type: 'json_schema', schema } },
      service_tier: 'standard_only',
    });
    expect(uncarried).toEqual([]);
    expect(chat).toMatchObject({
      response_format: { type: 'json_schema', json_schema: { schema, strict: true } },
      service_tier: 'default',
    });
  });

  it.each<[string, Any, string]>([
    ['shown thinking', { thinking: { type: 'enabled', budget_tokens: 50 } }, 'thinking'],
    ['sampling by rank', { top_k: 5 }, 'top_k'],
    ['more stop sequences than OpenAI takes', { stop_sequences: ['a', 'b', 'c', 'd', 'e'] }, 'stop_sequences'],
    ["a provider's own tool", { tools: [{ type: 'bash_20250124', name: 'bash' }] }, 'tools.0'],
    ['a field of a tool', { tools: [{ name: 'a', input_schema: {}, defer_loading: true }] }, 'tools.0.defer_loading'],
    ['effort', { output_config: { effort: 'high' } }, 'output_config.effort'],
    [
      'a document',
      user({ type: 'document', source: { type: 'url', url: 'https://x.test/a.pdf' } }),
      'messages.0.content.0',
    ],
    [
      'an uploaded image',
      user({ type: 'image', source: { type: 'file', file_id: 'f' } }),
      'messages.0.content.0.source',
    ],
    [
      'a citation',
      user({ type: 'text', text: 'x', citations: [{ type: 'char_location' }] }),
      'messages.0.content.0.citations',
    ],
    [
      'an image in the result of a tool',
      user({ type: 'tool_result', tool_use_id: 't', content: [{ type: 'image', source: PNG }] }),
      'messages.0.content.0.content',
    ],
    [
      'a result after other content',
      user({ type: 'text', text: 'x' }, { type: 'tool_result', tool_use_id: 't', content: 'y' }),
      'messages.0.content.1',
    ],
    [
      'what was thought earlier',
      {
        messages: [
          ...base.messages,
          { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: 's' }] },
          ...base.messages,
        ],
      },
      'messages.1.content.0',
    ],
    [
      'an answer to be continued',
      { messages: [...base.messages, { role: 'assistant', content: 'The answer is' }] },
      'messages.1',
    ],
    ['thinking of a type that came later', { thinking: { type: 'between_tools' } }, 'thinking'],
    ['a diagnosis of the cache', { diagnostics: { previous_message_id: null } }, 'diagnostics'],
    ['a search of the tools', { tools: [{ type: 'tool_search_tool_bm25', name: 'tool_search_tool_bm25' }] }, 'tools.0'],
    ['a speed that costs more', { speed: 'fast' }, 'speed'],
    ['a picture from the system', { messages: [{ role: 'system', content: [{ type: 'x' }] }] }, 'messages.0.content.0'],
  ])('%s is reported, never dropped', (_name, more, path) => {
    expect(read(more).uncarried.map((u) => u.path)).toEqual([path]);
  });

  it('what the system says in between stays where it is', () => {
    const { chat, uncarried } = read({
      system: 'Be brief.',
      speed: 'standard',
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'system', content: 'The user is a child.' },
        { role: 'system', content: [{ type: 'text', text: 'It is late.' }] },
        { role: 'system', content: [] },
        { role: 'user', content: 'Who are you?' },
      ],
    });
    expect(uncarried).toEqual([]);
    expect(chat.messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
      { role: 'system', content: 'The user is a child.' },
      { role: 'system', content: 'It is late.' },
      { role: 'user', content: 'Who are you?' },
    ]);
  });

  it('a PDF that came with the request is a file of it, as what it was called', () => {
    const source = { type: 'base64', media_type: 'application/pdf', data: 'aGk=' };
    const asked = user({ type: 'document', source, title: 'Plan', citations: { enabled: false } });
    expect(read(asked)).toMatchObject({
      uncarried: [],
      chat: {
        messages: [
          {
            content: [{ type: 'file', file: { filename: 'Plan', file_data: 'data:application/pdf;base64,aGk=' } }],
          },
        ],
      },
    });
    const untitled = user({ type: 'document', source, title: null });
    expect(read(untitled).chat.messages[0]).toMatchObject({ content: [{ file: { filename: 'document.pdf' } }] });
    const cited = user({ type: 'document', source, citations: { enabled: true }, context: 'Read it.' });
    expect(read(cited).uncarried.map((u) => u.path)).toEqual([
      'messages.0.content.0.context',
      'messages.0.content.0.citations',
    ]);
    // An estimate reads it as it came.
    expect(read(asked, 'reading').chat.messages[0]).toMatchObject({ content: [{ type: 'document', source }] });
  });

  it('no more is reported than anybody reads', () => {
    const blocks = Array.from({ length: 1_000 }, () => ({ type: 'document', source: {} }));
    expect(read(user(...blocks)).uncarried).toHaveLength(16);
  });
});

describe('for an estimate', () => {
  it('keeps the marks of the cache, which the wire does not have', () => {
    const mark = { cache_control: { type: 'ephemeral', ttl: '1h' } };
    const more = {
      ...mark,
      system: [{ type: 'text', text: 'long', ...mark }],
      tools: [{ name: 'a', input_schema: {}, ...mark }],
      ...user({ type: 'tool_result', tool_use_id: 't', content: 'r', ...mark }, { type: 'text', text: 'x', ...mark }),
    };
    expect(JSON.stringify(read(more, 'reading').chat).match(/"ttl":"1h"/g)).toHaveLength(5);
    expect(JSON.stringify(read(more, 'wire').chat)).not.toContain('cache_control');
    expect(JSON.stringify(read(more, 'marked-wire').chat)).toContain('cache_control');
    expect(read(more, 'marked-wire').chat).not.toHaveProperty('meritorder');
  });

  it('has at least the bytes of everything that a model reads', () => {
    const words = [
      'sys-text',
      'user-text',
      'thought',
      'sealed',
      'call-name',
      'call-input',
      'result-text',
      'tool-words',
    ];
    const { chat } = read(
      {
        system: 'sys-text',
        tools: [{ name: 'call-name', description: 'tool-words', input_schema: { type: 'object' } }],
        messages: [
          { role: 'user', content: 'user-text' },
          {
            role: 'assistant',
            content: [
              { type: 'thinking', thinking: 'thought', signature: 'sig' },
              { type: 'redacted_thinking', data: 'sealed' },
              { type: 'tool_use', id: 't', name: 'call-name', input: { a: 'call-input' } },
            ],
          },
          { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: 'result-text' }] },
        ],
      },
      'reading',
    );
    for (const word of words) expect(JSON.stringify(chat)).toContain(word);
  });

  it('knows where in the request each part is that is not text', () => {
    const document = { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'aGk=' } };
    const result = { type: 'tool_result', tool_use_id: 't', content: [{ type: 'text', text: 'a' }, document] };
    const { chat, uncarried, placeOf } = read(
      { system: 'Be brief.', ...user(result, { type: 'text', text: 'b' }, { type: 'image', source: PNG }, document) },
      'reading',
    );
    const parts = chat.messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
    expect(parts.map((part) => [part.type, placeOf(part)])).toEqual([
      ['text', undefined],
      ['document', 'messages.0.content.0.content.1'],
      ['text', undefined],
      ['image_url', 'messages.0.content.2'],
      ['document', 'messages.0.content.3'],
    ]);
    expect(uncarried.map((u) => u.path)).toEqual(['messages.0.content.0.content']);
  });

  it('takes wishes and attribution from `meritorder`', () => {
    const { chat } = read({ meritorder: { max_cost_usd: '0.1', metadata: { department: 'eng' } } }, 'reading');
    expect(chat).toMatchObject({ meritorder: { max_cost_usd: '0.1' }, metadata: { department: 'eng' } });
    expect(chat.meritorder).not.toHaveProperty('metadata');
  });

  it.each([
    ['mcp_servers', []],
    ['speed', 'fast'],
    ['speed', 'ludicrous'],
  ])('the field %s, whose cost nobody knows with %j, is named', (field, value) => {
    expect(read({ [field]: value }, 'reading').unbounded).toBe(field);
  });

  it.each([
    ['speed', 'standard'],
    ['speed', null],
    ['diagnostics', { previous_message_id: null }],
    ['diagnostics', { previous_message_id: 'msg_1' }],
    ['thinking', { type: 'between_tools' }],
  ])('the field %s costs nothing more with %j', (field, value) => {
    expect(read({ [field]: value }, 'reading').unbounded).toBeUndefined();
  });

  const CLEARS = { type: 'clear_tool_uses_20250919', trigger: { type: 'input_tokens', value: 30_000 }, keep: null };
  it.each<[string, unknown]>([
    ['results of tools, and what was thought', { edits: [CLEARS, { type: 'clear_thinking_20251015', keep: 'all' }] }],
    ['nothing', { edits: [] }],
    ['none', null],
  ])('a context that is cleared of %s has a bound, and no words in a chat completion', (_what, management) => {
    const { unbounded, uncarried } = read({ context_management: management }, 'reading');
    expect(unbounded).toBeUndefined();
    expect(uncarried.map(({ path }) => path)).toEqual(management === null ? [] : ['context_management']);
  });

  it.each<[string, unknown]>([
    ['is summarised', { edits: [CLEARS, { type: 'compact_20260112' }] }],
    ['is changed as nobody knows', { edits: [{ type: 'clear_everything' }] }],
    ['is changed by a name that goes on', { edits: [{ type: 'clear_thinking_20251015_and_more' }] }],
    ['has an edit that is none', { edits: [null] }],
    ['has another field', { edits: [CLEARS], budget: 1 }],
    ['has no edits', {}],
    ['is none', 'clear_thinking_20251015'],
  ])('a context that %s has no bound', (_what, management) => {
    expect(read({ context_management: management, mcp_servers: null }, 'reading').unbounded).toMatch(
      /^context_management that does not only clear/,
    );
  });

  it('a field without a bound is named beside a context that is cleared', () => {
    const more = { context_management: { edits: [CLEARS] }, mcp_servers: [] };
    expect(read(more, 'reading').unbounded).toBe('mcp_servers');
  });
});
