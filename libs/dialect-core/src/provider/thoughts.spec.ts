import { expect, it } from 'vitest';
import { callOfChat, ChunksOfParts, completionOfContent, type SdkProtocol } from '../index.js';

type Any = Record<string, any>;
const NAMES = { id: 'answer-1', model: 'm-1' };
const TOOL = { type: 'function', function: { name: 'f', parameters: { type: 'object' } } };
const END = { unified: 'tool-calls', raw: 'tool_use' };

/** Sends an answer back, as its caller does, with the result of its call. */
function backTo(protocol: SdkProtocol, message: Any): Any[] {
  const messages = [
    { role: 'user', content: 'Hi' },
    message,
    { role: 'tool', tool_call_id: message['tool_calls'][0].id, content: 'sunny' },
  ];
  const { options, uncarried } = callOfChat(protocol, { model: 'm', messages, tools: [TOOL] } as never);
  expect(uncarried).toEqual([]);
  return (options.prompt.find(({ role }) => role === 'assistant') as Any)['content'];
}

const messageOf = (content: Any[]): Any =>
  (completionOfContent({ content, finishReason: END } as never, NAMES, 7, undefined) as Any)['choices'][0].message;

const CALL = { type: 'tool-call', toolCallId: 'a', toolName: 'f', input: '{}' };
const seal = (protocol: string, fields: Any): Any => ({ providerMetadata: { [protocol]: fields } });

it.each<[SdkProtocol, Any]>([
  ['anthropic', { redactedData: 'closed' }],
  ['bedrock', { redactedContent: 'closed' }],
])('%s: sealed thoughts go back as they were, before what was said', (protocol, closed) => {
  const message = messageOf([
    { type: 'reasoning', text: 'Hm. ', ...seal(protocol, { signature: 's-1' }) },
    { type: 'reasoning', text: '', ...seal(protocol, closed) },
    { type: 'reasoning', text: 'So.', ...seal(protocol, { signature: 's-2' }) },
    CALL,
  ]);
  expect(message['reasoning_content']).toBe('Hm. So.');
  expect(backTo(protocol, message)).toMatchObject([
    { type: 'reasoning', text: 'Hm. ', providerOptions: { [protocol]: { signature: 's-1' } } },
    { type: 'reasoning', text: '', providerOptions: { [protocol]: closed } },
    { type: 'reasoning', text: 'So.', providerOptions: { [protocol]: { signature: 's-2' } } },
    { type: 'tool-call', toolCallId: 'a' },
  ]);
});

it("Claude's seals mean the same at Bedrock, what is closed there does not, and Gemini is told of neither", () => {
  const message = messageOf([
    { type: 'reasoning', text: 'Hm.', ...seal('anthropic', { signature: 's-1' }) },
    { type: 'reasoning', text: '', ...seal('anthropic', { redactedData: 'closed' }) },
    CALL,
  ]);
  expect(backTo('bedrock', message).map(({ type }) => type)).toEqual(['reasoning', 'tool-call']);
  expect(backTo('gemini', message).map(({ type }) => type)).toEqual(['tool-call']);
});

it('thoughts that nobody sealed are for the eye alone', () => {
  const message = messageOf([{ type: 'reasoning', text: 'Hm.' }, CALL]);
  expect(message).not.toHaveProperty('reasoning_details');
  expect(backTo('anthropic', message)).toHaveLength(1);
});

it('a stream tells them once, whole, at its end', () => {
  const chunks = new ChunksOfParts(NAMES, 7);
  const parts = [
    { type: 'reasoning-start', id: '0' },
    { type: 'reasoning-delta', id: '0', delta: 'H' },
    { type: 'reasoning-delta', id: '0', delta: 'm.' },
    { type: 'reasoning-delta', id: '0', delta: '', ...seal('anthropic', { signature: 's-1' }) },
    { type: 'reasoning-start', id: '1', ...seal('anthropic', { redactedData: 'closed' }) },
    { type: 'reasoning-start', id: '2' },
    { type: 'reasoning-delta', id: '2', delta: 'unsealed' },
    { type: 'text-delta', id: '3', delta: 'Hi' },
    { type: 'finish', finishReason: END, usage: {} },
  ];
  const deltas = parts.flatMap((part): Any[] => {
    const chunk = chunks.feed(part as never) as Any | undefined;
    return chunk ? [chunk['choices'][0].delta] : [];
  });
  expect(deltas.slice(0, -1).every((delta) => delta['reasoning_details'] === undefined)).toBe(true);
  expect(deltas.at(-1)!['reasoning_details']).toEqual([
    { type: 'reasoning.text', text: 'Hm.', signature: 's-1', format: 'anthropic-claude-v1', index: 0 },
    { type: 'reasoning.encrypted', data: 'closed', format: 'anthropic-claude-v1', index: 1 },
  ]);
});

it('a stream of Bedrock says what is closed to the eye with its end', () => {
  const chunks = new ChunksOfParts(NAMES, 7);
  const end = { type: 'reasoning-end', id: '0', ...seal('bedrock', { redactedContent: 'closed' }) };
  const parts = [{ type: 'reasoning-start', id: '0' }, end, { type: 'finish', finishReason: END, usage: {} }];
  const last = parts.map((part) => chunks.feed(part as never) as Any | undefined).at(-1);
  expect(last!['choices'][0].delta.reasoning_details).toEqual([
    { type: 'reasoning.encrypted', data: 'closed', format: 'bedrock-converse-v1', index: 0 },
  ]);
});

it("Gemini's seal of a call goes back with the call, streamed or not, and to nobody else", () => {
  const sealed = { ...CALL, ...seal('google', { thoughtSignature: 't-1' }) };
  const expected = { google: { thought_signature: 't-1' } };
  const message = messageOf([sealed, { ...CALL, toolCallId: 'b' }]);
  expect(message['tool_calls'].map((c: Any) => c['extra_content'])).toEqual([expected, undefined]);
  expect(backTo('gemini', message)[0]).toMatchObject({ providerOptions: { google: { thoughtSignature: 't-1' } } });
  expect(backTo('anthropic', message)[0]).not.toHaveProperty('providerOptions');

  const chunks = new ChunksOfParts(NAMES, 7);
  const start = { type: 'tool-input-start', id: 'a', toolName: 'f' };
  const told = [start, sealed, sealed].map((part) => chunks.feed(part as never) as Any | undefined);
  expect(told[1]!['choices'][0].delta.tool_calls).toMatchObject([{ index: 0, extra_content: expected }]);
  expect(told[2]).toBeUndefined();
  const atOnce = new ChunksOfParts(NAMES, 7).feed(sealed as never) as Any;
  expect(atOnce['choices'][0].delta.tool_calls).toMatchObject([{ id: 'a', extra_content: expected }]);
});
