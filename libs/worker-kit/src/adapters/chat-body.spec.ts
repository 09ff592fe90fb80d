import { describe, expect, it } from 'vitest';
import { backendOf } from './provider-world.for-tests.js';
import { chatBody } from './chat-body.js';

const sentTo = (fields: string, body: Record<string, unknown>): Record<string, any> =>
  chatBody({ backend: backendOf(`${fields}, baseUrl: "https://x.test/v1"`), stream: false, body });

const OPENAI = 'provider: openai';
const AZURE = 'provider: azure, protocol: azure';
const MISTRAL = 'provider: mistral';
const GROQ = 'provider: groq';
const OTHERS = 'provider: deepseek';

/** As a caller has it from DeepSeek's answer, and sends it back. */
const ANSWER = {
  role: 'assistant',
  content: null,
  refusal: null,
  annotations: [],
  reasoning_content: 'Hm.',
  tool_calls: [{ id: 'c' }],
};

describe('a chat completion in the words of its provider', () => {
  it.each([
    [OPENAI, 'developer'],
    [AZURE, 'developer'],
    [MISTRAL, 'system'],
    [OTHERS, 'system'],
  ])('has the role that is known there: %s, %s', (backend, role) => {
    const messages = [
      { role: 'developer', content: 'd' },
      { role: 'user', content: 'u' },
    ];
    expect(sentTo(backend, { messages })['messages']).toEqual([{ ...messages[0], role }, messages[1]]);
  });

  it.each([OPENAI, AZURE, MISTRAL, GROQ])('leaves out what another model thought: %s', (backend) => {
    const messages = [{ role: 'user', content: 'u' }, ANSWER];
    expect(sentTo(backend, { messages })['messages']).toEqual([
      messages[0],
      { role: 'assistant', content: null, tool_calls: [{ id: 'c' }] },
    ]);
  });

  it.each([OPENAI, AZURE, MISTRAL, GROQ, OTHERS])("leaves out what OpenAI's SDK has parsed of it: %s", (backend) => {
    const made = { name: 'f', arguments: '{}' };
    const plain = { role: 'assistant', content: null, tool_calls: [{ id: 'abcdefghi', function: made }] };
    const parsed = {
      ...plain,
      parsed: null,
      tool_calls: [{ id: 'abcdefghi', function: { ...made, parsed_arguments: {} } }],
    };
    const said = { role: 'assistant', content: '{}' };
    expect(sentTo(backend, { messages: [parsed, { ...said, parsed: {} }] })['messages']).toEqual([plain, said]);
  });

  it('is as it came where thoughts are read again', () => {
    const messages = [{ role: 'user', name: 'Ann', content: 'u' }, ANSWER];
    expect(sentTo(OTHERS, { messages, user: 'u1' })).toMatchObject({ messages, user: 'u1' });
  });

  it('has nothing that Mistral refuses: who asks, and who speaks', () => {
    const told = sentTo(MISTRAL, { messages: [{ role: 'user', name: 'Ann', content: 'u' }], user: 'u1' });
    expect(told).toEqual({ messages: [{ role: 'user', content: 'u' }], model: 'the-model', stream: false });
  });
});
