import { describe, expect, it } from 'vitest';
import { ResponsesRequest } from '@meritorder/contracts';
import { chatOfResponses } from '../index.js';

const read = (more: object) => chatOfResponses(ResponsesRequest.parse({ model: 'auto', input: 'hi', ...more }));

describe('a request for a response as a chat completion', () => {
  it('carries what both have, in the words of the other', () => {
    const { chat, uncarried } = read({
      instructions: 'be brief',
      max_output_tokens: 40,
      stream: true,
      temperature: 0.2,
      tools: [{ type: 'function', name: 'f', description: 'd', parameters: { type: 'object' }, strict: true }],
      tool_choice: { type: 'function', name: 'f' },
      parallel_tool_calls: false,
      text: { format: { type: 'json_schema', name: 's', schema: { type: 'object' }, strict: true }, verbosity: 'low' },
      reasoning: { effort: 'low' },
      include: ['message.output_text.logprobs', 'reasoning.encrypted_content'],
      top_logprobs: 3,
      store: true,
      service_tier: 'flex',
      metadata: { department: 'eng' },
      meritorder: { max_cost_usd: '0.1' },
    });
    expect(uncarried).toEqual([]);
    expect(chat).toEqual({
      model: 'auto',
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'hi' },
      ],
      max_completion_tokens: 40,
      stream: true,
      temperature: 0.2,
      tools: [
        { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' }, strict: true } },
      ],
      tool_choice: { type: 'function', function: { name: 'f' } },
      parallel_tool_calls: false,
      response_format: { type: 'json_schema', json_schema: { name: 's', schema: { type: 'object' }, strict: true } },
      verbosity: 'low',
      reasoning_effort: 'low',
      logprobs: true,
      top_logprobs: 3,
      service_tier: 'flex',
      metadata: { department: 'eng' },
      meritorder: { max_cost_usd: '0.1' },
    });
  });

  it('reads the items of a conversation, calls together with what was said before them', () => {
    const call = (id: string) => ({ type: 'function_call', id: `fc_${id}`, call_id: id, name: 'f', arguments: '{}' });
    const made = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } });
    const { chat, uncarried } = read({
      input: [
        { role: 'developer', content: 'd' },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'look' },
            { type: 'input_image', image_url: 'data:image/png;base64,aGk=', detail: 'low' },
          ],
        },
        {
          type: 'message',
          id: 'msg_1',
          role: 'assistant',
          content: [{ type: 'output_text', text: 'a', annotations: [] }],
        },
        call('1'),
        call('2'),
        { type: 'function_call_output', call_id: '1', output: 'one' },
        { type: 'function_call_output', call_id: '2', output: [{ type: 'input_text', text: 'two' }] },
        call('3'),
        { type: 'function_call_output', call_id: '3', output: '' },
        { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }] },
      ],
    });
    expect(uncarried).toEqual([]);
    expect(chat.messages).toEqual([
      { role: 'developer', content: 'd' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'look' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=', detail: 'low' } },
        ],
      },
      { role: 'assistant', content: 'a', tool_calls: [made('1'), made('2')] },
      { role: 'tool', tool_call_id: '1', content: 'one' },
      { role: 'tool', tool_call_id: '2', content: 'two' },
      { role: 'assistant', content: null, tool_calls: [made('3')] },
      { role: 'tool', tool_call_id: '3', content: '' },
      { role: 'assistant', content: 'no' },
    ]);
  });

  it('joins what is said after a call to it, so that the results follow the calls', () => {
    const call = (id: string) => ({ type: 'function_call', call_id: id, name: 'f', arguments: '{}' });
    const made = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } });
    const output = (id: string) => ({ type: 'function_call_output', call_id: id, output: id });
    const says = (...texts: string[]) => ({
      type: 'message',
      role: 'assistant',
      content: texts.map((text) => ({ type: 'output_text', text, annotations: [] })),
    });
    const messagesOf = (...input: object[]) => read({ input }).chat.messages;
    const text = (text: string) => ({ type: 'text', text });
    expect(messagesOf(call('1'), says('I look.'), call('2'), output('1'), output('2'), says('Done.'))).toEqual([
      { role: 'assistant', content: 'I look.', tool_calls: [made('1'), made('2')] },
      { role: 'tool', tool_call_id: '1', content: '1' },
      { role: 'tool', tool_call_id: '2', content: '2' },
      { role: 'assistant', content: 'Done.' },
    ]);
    expect(messagesOf(says('a'), call('1'), says('b'), says(), says('c', 'd'), output('1'))[0]).toEqual({
      role: 'assistant',
      content: [text('a\n\nb'), text('c'), text('d')],
      tool_calls: [made('1')],
    });
    // What the user says is never the assistant's, and two answers without a call stay two.
    expect(messagesOf(call('1'), { role: 'user', content: 'x' })).toHaveLength(2);
    expect(messagesOf(says('a'), says('b'))).toHaveLength(2);
  });

  it.each<[string, object, string]>([
    ['an earlier response', { previous_response_id: 'resp_1' }, 'previous_response_id'],
    ['a conversation', { conversation: 'conv_1' }, 'conversation'],
    ['a prompt that is kept elsewhere', { prompt: { id: 'p' } }, 'prompt'],
    ['an item by its id', { input: [{ type: 'item_reference', id: 'msg_1' }] }, 'input.0'],
    ['what was thought', { input: [{ type: 'reasoning', id: 'rs_1', summary: [] }] }, 'input.0'],
    ["a provider's tool", { tools: [{ type: 'web_search' }] }, 'tools.0'],
    ['a tool with more than a chat has', { tools: [{ type: 'function', name: 'f', defer: true }] }, 'tools.0.defer'],
    ['a choice among tools', { tool_choice: { type: 'allowed_tools', tools: [] } }, 'tool_choice'],
    ['a summary of thoughts', { reasoning: { summary: 'auto' } }, 'reasoning.summary'],
    ['more of reasoning', { reasoning: { context: 'all' } }, 'reasoning.context'],
    ['more of text', { text: { style: 'x' } }, 'text.style'],
    ['sources', { include: ['web_search_call.action.sources'] }, 'include.0'],
    ['an input that is cut', { truncation: 'auto' }, 'truncation'],
    ['an answer in the background', { background: true }, 'background'],
    [
      'an image by id',
      { input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] },
      'input.0.content.0',
    ],
    ['a field that is not known', { shiny: 1 }, 'shiny'],
  ])('says that it cannot carry %s, and where that is', (_what, more, path) => {
    expect(read(more).uncarried.map((u) => u.path)).toEqual([path]);
  });

  it('knows where in the request each part is', () => {
    const file = { type: 'input_file', file_id: 'f' };
    const { chat, placeOf } = read({
      instructions: 'Be brief.',
      input: [{ role: 'user', content: [{ type: 'input_text', text: 'see' }, file] }],
    });
    const parts = chat.messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
    expect(parts.map((part) => [part.type, placeOf(part)])).toEqual([
      ['text', 'input.0.content.0'],
      ['file', 'input.0.content.1'],
    ]);
  });

  it('is not stopped by what has no effect here', () => {
    expect(
      read({ store: true, truncation: 'disabled', background: false, max_tool_calls: 3, include: null }).uncarried,
    ).toEqual([]);
  });
});
