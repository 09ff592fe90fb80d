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
  tool_calls: [{ id: 'D681PevKs' }],
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

  it.each([
    [OPENAI, { include_obfuscation: false, include_usage: true }],
    [AZURE, { include_obfuscation: false, include_usage: true }],
    [GROQ, { include_usage: true }],
    [MISTRAL, undefined],
  ])('asks for the usage of a stream, and for what else its caller asked where that is known: %s', (backend, told) => {
    const body = { messages: [], stream_options: { include_obfuscation: false, include_usage: false } };
    const asked = chatBody({ backend: backendOf(`${backend}, baseUrl: "https://x.test/v1"`), stream: true, body });
    expect(asked['stream_options']).toEqual(told);
    expect(sentTo(backend, body)['stream_options']).toBeUndefined();
  });

  it.each([OPENAI, AZURE, MISTRAL, GROQ])('leaves out what another model thought: %s', (backend) => {
    const messages = [{ role: 'user', content: 'u' }, ANSWER];
    expect(sentTo(backend, { messages })['messages']).toEqual([
      messages[0],
      { role: 'assistant', content: null, tool_calls: [{ id: 'D681PevKs' }] },
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

  it.each<[string, boolean]>([
    [OPENAI, false],
    [AZURE, false],
    [MISTRAL, false],
    [GROQ, false],
    ['provider: google', true],
  ])("keeps Gemini's signature of a call for those that take it: %s %s", (backend, keeps) => {
    const call = { id: 'abcdefghi', type: 'function', function: { name: 'f', arguments: '{}' } };
    const extra_content = { google: { thought_signature: 't-1' } };
    const messages = [{ role: 'assistant', content: null, tool_calls: [{ ...call, extra_content }] }];
    expect(sentTo(backend, { messages })['messages'][0].tool_calls).toEqual([
      keeps ? { ...call, extra_content } : call,
    ]);
  });

  describe('with the ids of calls that another backend made', () => {
    const conversation = (...ids: string[]) => ({
      messages: [
        { role: 'assistant', content: null, tool_calls: ids.map((id) => ({ id, type: 'function', function: {} })) },
        ...ids.map((tool_call_id) => ({ role: 'tool', tool_call_id, content: 'sunny' })),
      ],
    });
    const idsSentTo = (backend: string, ...ids: string[]): string[] => {
      const [answer, ...results] = sentTo(backend, conversation(...ids))['messages'];
      const sent = answer.tool_calls.map(({ id }: { id: string }) => id);
      expect(results.map((result: { tool_call_id: string }) => result.tool_call_id)).toEqual(sent);
      return sent;
    };
    const OF_OPENAI = 'call_RzfkBpJgzeR0S242qfvjadNe';
    const OF_KIMI = 'functions.weather:0';
    const OF_MISTRAL = 'D681PevKs';
    const LONG = `toolu_${'x'.repeat(40)}`;

    it('says what Mistral takes in place of what it does not, in calls and results alike, and always the same', () => {
      const sent = idsSentTo(MISTRAL, OF_OPENAI, OF_MISTRAL, OF_KIMI);
      expect(sent[1]).toBe(OF_MISTRAL);
      for (const id of sent) expect(id).toMatch(/^[a-zA-Z0-9]{9}$/);
      expect(new Set(sent).size).toBe(3);
      expect(idsSentTo(MISTRAL, OF_OPENAI)).toEqual([sent[0]]);
    });

    it('says a shorter one where OpenAI takes none that long', () => {
      for (const backend of [OPENAI, AZURE]) {
        const [short, other] = idsSentTo(backend, OF_KIMI, LONG);
        expect(short).toBe(OF_KIMI);
        expect(other!.length).toBeLessThanOrEqual(40);
      }
    });

    it('leaves them alone where any is taken', () => {
      expect(idsSentTo(OTHERS, OF_OPENAI, OF_KIMI, LONG)).toEqual([OF_OPENAI, OF_KIMI, LONG]);
    });
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
