import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { EmbeddingsRequest, MessagesRequest } from '../index.js';

function problems(schema: z.ZodType, value: unknown): string[] {
  const { error } = schema.safeParse(value);
  return (error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

describe('an embeddings request', () => {
  const of = (input: unknown, more: object = {}): string[] =>
    problems(EmbeddingsRequest, { model: 'e', input, ...more });

  it.each([['a text'], [['one', 'two']], [[1, 2, 3]], [[[1, 2], [3]]]])('takes %o', (input) => {
    expect(of(input)).toEqual([]);
  });

  it.each([
    [''],
    [[]],
    [['']],
    [['a', 1]],
    [[1.5]],
    [[-1]],
    [[[]]],
    [null],
    [{}],
    [Array.from({ length: 2_049 }, () => 'a')],
  ])('refuses %o', (input) => {
    expect(of(input)).toEqual([expect.stringMatching(/^input/)]);
  });

  it('says what an input is', () => {
    expect(of({})).toEqual([expect.stringMatching(/^input: must be a text, token numbers, or a list of 1 to 2048/)]);
  });

  it('refuses what no answer could have, and passes on what it does not know', () => {
    expect(of('a', { encoding_format: 'int8' })).toEqual([expect.stringMatching(/^encoding_format/)]);
    expect(of('a', { dimensions: 0 })).toEqual([expect.stringMatching(/^dimensions/)]);
    expect(EmbeddingsRequest.parse({ model: 'e', input: 'a', input_type: 'query' })).toHaveProperty('input_type');
  });
});

describe('a messages request', () => {
  const base = { model: 'm', max_tokens: 5, messages: [{ role: 'user', content: 'Hi' }] };
  const of = (more: object): string[] => problems(MessagesRequest, { ...base, ...more });
  const user = (...content: object[]): object => ({ messages: [{ role: 'user', content }] });

  it.each<[string, object, RegExp]>([
    ['no max_tokens', { max_tokens: undefined }, /^max_tokens/],
    ['a role of another dialect', { messages: [{ role: 'tool', content: 'x' }] }, /^messages\.0\.role/],
    ['no messages', { messages: [] }, /^messages/],
    ['a text block without its text', user({ type: 'text' }), /^messages\.0\.content\.0\.text/],
    [
      'an image of a type that is none',
      user({ type: 'image', source: { type: 'base64', media_type: 'text/html', data: '' } }),
      /media_type/,
    ],
    [
      'a call without an input',
      { messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'b' }] }] },
      /content\.0\.input/,
    ],
    ['a result of no call', user({ type: 'tool_result', content: 'x' }), /tool_use_id/],
    [
      'a broken block inside a result',
      user({ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text' }] }),
      /content\.0\.content\.0\.text/,
    ],
    [
      'a mark that lives too long',
      user({ type: 'text', text: 'x', cache_control: { type: 'ephemeral', ttl: '1d' } }),
      /^messages\.0\.content/,
    ],
    ['a system that is no text', { system: [{ type: 'image' }] }, /^system/],
    ['a tool without a schema', { tools: [{ name: 'a' }] }, /^tools\.0\.input_schema: is required/],
    ['a named choice without the name', { tool_choice: { type: 'tool' } }, /^tool_choice\.name: is required/],
    ['thinking without a budget', { thinking: { type: 'enabled' } }, /^thinking\.budget_tokens: is required/],
    [
      'attribution where Anthropic has none',
      { metadata: { department: 'eng' } },
      /^metadata: has `user_id` alone; attribution goes into `meritorder\.metadata`/,
    ],
    ['an unknown wish', { meritorder: { be_quick: true } }, /^meritorder.*be_quick/],
  ])('%s is refused by its path', (_name, more, expected) => {
    expect(of(more)).toEqual([expect.stringMatching(expected)]);
  });

  it.each([
    ['what the system says later', { messages: [...base.messages, { role: 'system', content: 'Be brief.' }] }],
    ['thinking of a type that came later', { thinking: { type: 'between_tools' } }],
    ['the usual speed', { speed: 'standard' }],
    ['a diagnosis of the cache', { diagnostics: { previous_message_id: null } }],
    ['a search of tools', { tools: [{ type: 'tool_search_tool_regex_20251119', name: 'tool_search_tool_regex' }] }],
  ])('%s is taken as it came', (_name, more) => {
    expect(MessagesRequest.parse({ ...base, ...more })).toMatchObject(more);
  });

  it('a block that is not described is kept, for a backend that knows it', () => {
    const document = { type: 'document', source: { type: 'text', data: 'x' } };
    expect(MessagesRequest.parse({ ...base, ...user(document) }).messages[0]!.content).toEqual([document]);
  });
});
