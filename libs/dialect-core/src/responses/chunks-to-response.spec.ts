import { describe, expect, it } from 'vitest';
import { ResponsesRequest, type Usage } from '@meritorder/contracts';
import { EventsOfResponse, responseOfChat, TranslationError, type ResponseEvent } from '../index.js';
import { readResponse } from './read-response.for-tests.js';

type Any = Record<string, any>;
const NAMES = { id: 'a-1', model: 'fallback', createdSeconds: 7 };
const ASKED = ResponsesRequest.parse({ model: 'auto', input: 'hi' });
const USAGE: Usage = {
  inputTokens: 7,
  cacheReadTokens: 5,
  cacheWrite5mTokens: 3,
  cacheWrite1hTokens: 2,
  outputTokens: 11,
  reasoningTokens: 4,
  requests: 1,
};
const SAID = {
  input_tokens: 17,
  input_tokens_details: { cached_tokens: 5 },
  output_tokens: 11,
  output_tokens_details: { reasoning_tokens: 4 },
  total_tokens: 28,
};

function eventsOf(chunks: readonly Any[], cancelled = false): ResponseEvent[] {
  const events = new EventsOfResponse(NAMES, ASKED);
  const told = chunks.flatMap((chunk) => events.feed(chunk));
  // Whoever cancels does not wait for the end.
  return [...told, ...(cancelled ? [] : events.end(USAGE)), events.last(cancelled)];
}
const chunk = (delta: Any, finish_reason: string | null = null, more: Any = {}): Any => ({
  id: 'chatcmpl-1',
  created: 9,
  model: 'm-1',
  choices: [{ index: 0, delta, finish_reason, ...more }],
});
const call = (index: number | undefined, name: string, args: string, id?: string): Any => ({
  ...(index === undefined ? {} : { index }),
  ...(id === undefined ? {} : { id }),
  function: { ...(name === '' ? {} : { name }), arguments: args },
});

describe('the stream of a chat completion as the events of a response', () => {
  it('text: one item with one part, told piece by piece and once more at its end', () => {
    const events = eventsOf([
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: 'Hel' }),
      chunk({ content: 'lo' }),
      chunk({}, 'stop'),
    ]);
    expect(events.map((e) => e.type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map((e) => e.sequence_number)).toEqual(events.map((_, i) => i));
    expect(readResponse(events)).toMatchObject({
      id: 'resp_a-1',
      created_at: 9,
      status: 'completed',
      model: 'm-1',
      usage: SAID,
      output: [
        {
          id: 'msg_a-1',
          type: 'message',
          status: 'completed',
          content: [{ type: 'output_text', text: 'Hello', annotations: [] }],
        },
      ],
    });
  });

  it('calls that come in turn, with and without indexes and ids, keep their places', () => {
    const events = eventsOf([
      chunk({ content: 'so' }),
      chunk({ tool_calls: [call(0, 'f', '', 'c-0')] }),
      chunk({ tool_calls: [call(1, 'g', '{"b"'), call(0, '', '{"a":')] }),
      chunk({ tool_calls: [call(0, '', '1}'), call(1, '', ':2}')] }),
      chunk({ tool_calls: [call(undefined, 'h', '{}')] }, 'tool_calls'),
    ]);
    const calls = (readResponse(events)['output'] as Any[]).slice(1);
    expect(calls.map(({ call_id, name, arguments: args }) => [call_id, name, args])).toEqual([
      ['c-0', 'f', '{"a":1}'],
      ['call_a-1_1', 'g', '{"b":2}'],
      ['call_a-1_2', 'h', '{}'],
    ]);
  });

  it('two calls with the same index are two, and one that repeats its id is one', () => {
    const events = eventsOf([
      chunk({ tool_calls: [call(0, 'f', '{"a":', 'c-0')] }),
      chunk({ tool_calls: [call(0, 'f', '1}', 'c-0')] }),
      chunk({ tool_calls: [call(0, 'g', '{"b":', 'c-1')] }),
      chunk({ tool_calls: [call(0, '', '2}', '')] }, 'tool_calls'),
    ]);
    const calls = readResponse(events)['output'] as Any[];
    expect(calls.map(({ call_id, name, arguments: args }) => [call_id, name, args])).toEqual([
      ['c-0', 'f', '{"a":1}'],
      ['c-1', 'g', '{"b":2}'],
    ]);
  });

  it('a refusal is a part of its own, and log probabilities stay with their text', () => {
    const events = eventsOf([
      chunk({ content: 'a' }, null, { logprobs: { content: [{ token: 'a', logprob: -1, top_logprobs: [] }] } }),
      chunk({ refusal: 'no' }, 'stop'),
    ]);
    const [message] = readResponse(events)['output'] as Any[];
    expect(message!['content']).toEqual([
      { type: 'output_text', text: 'a', annotations: [], logprobs: [{ token: 'a', logprob: -1, top_logprobs: [] }] },
      { type: 'refusal', refusal: 'no' },
    ]);
  });

  it.each([
    ['length', 'max_output_tokens'],
    ['content_filter', 'content_filter'],
  ])('that ends with %s is incomplete', (finish, reason) => {
    const last = eventsOf([chunk({ content: 'a' }), chunk({}, finish)]).at(-1)!;
    expect(last).toMatchObject({
      type: 'response.incomplete',
      response: { status: 'incomplete', incomplete_details: { reason }, output: [{ status: 'incomplete' }] },
    });
  });

  it('of nothing at all is a response without items; a cancelled one says so', () => {
    expect(eventsOf([]).at(-1)).toMatchObject({
      type: 'response.completed',
      response: { id: 'resp_a-1', output: [] },
    });
    expect(eventsOf([chunk({ content: 'a' })], true).at(-1)).toMatchObject({
      type: 'response.incomplete',
      response: { status: 'cancelled', output: [{ content: [{ text: 'a' }] }] },
    });
  });

  it.each<[string, Any[]]>([
    ['a call without a name', [chunk({ tool_calls: [call(0, '', '{}')] })]],
    ['calls beyond all bounds', [chunk({ tool_calls: [call(5_000, 'f', '{}')] })]],
    ['more text than a message carries', [chunk({ content: 'x'.repeat(1_000_001) })]],
    ['an end by "error"', [chunk({ content: 'a' }), chunk({}, 'error')]],
    ['an end by "abort"', [chunk({ content: 'a' }), chunk({}, 'abort')]],
    ['an end by "insufficient_system_resource"', [chunk({ content: 'a' }), chunk({}, 'insufficient_system_resource')]],
    ['no end', [chunk({ content: 'a' })]],
  ])('%s is an error, never half an answer', (_what, chunks) => {
    expect(() => eventsOf(chunks)).toThrow(TranslationError);
  });
});

describe('a whole chat completion as a response', () => {
  const answer = (message: Any, finish_reason = 'stop'): Any => ({
    id: 'chatcmpl-1',
    created: 9,
    model: 'm-1',
    service_tier: 'flex',
    choices: [{ index: 0, message, finish_reason }],
  });

  it.each([
    ['{"a":', 'null', '}'],
    ['n', 'ull'],
    ['', ''],
  ])('whose call has the arguments %s%s: null is an empty object, and nothing else is changed', (...pieces) => {
    const text = pieces.join('');
    const whole = responseOfChat(answer({ tool_calls: [call(0, 'f', text, 'c-0')] }), ASKED, NAMES, USAGE);
    const told = pieces.map((args) => chunk({ tool_calls: [call(0, 'f', args, 'c-0')] }));
    const events = eventsOf([...told, chunk({}, 'tool_calls')]);
    for (const { output } of [whole, readResponse(events)] as Any[])
      expect(output).toMatchObject([{ name: 'f', arguments: text === 'null' ? '{}' : text }]);
  });

  it('has the items that its stream has', () => {
    const message = { content: 'Hello', tool_calls: [call(undefined, 'f', '{"a":1}', 'c-0')] };
    const whole = responseOfChat(answer(message, 'tool_calls'), ASKED, NAMES, USAGE);
    const events = eventsOf([
      chunk({ content: 'Hello' }),
      chunk({ tool_calls: [call(0, 'f', '{"a":1}', 'c-0')] }, 'tool_calls'),
    ]);
    const { service_tier: tier, ...rest } = whole;
    expect(tier).toBe('flex');
    expect(readResponse(events)).toEqual({ ...rest, service_tier: 'default' });
  });

  it.each([
    ['model_length', { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }],
    ['eos_token', { status: 'completed', incomplete_details: null }],
  ])('that ends by %s says what that means', (reason, expected) => {
    expect(responseOfChat(answer({ content: 'a' }, reason), ASKED, NAMES, USAGE)).toMatchObject(expected);
    expect(readResponse(eventsOf([chunk({ content: 'a' }, reason)]))).toMatchObject(expected);
  });

  it.each<[string, Any]>([
    ['no choice', { choices: [] }],
    ['an end by "error"', answer({ content: 'a' }, 'error')],
    ['no end', answer({ content: 'a' }, null as never)],
    ['a call without a name', answer({ tool_calls: [{ function: { arguments: '{}' } }] })],
  ])('with %s is an error', (_what, bad) => {
    expect(() => responseOfChat(bad, ASKED, NAMES, USAGE)).toThrow(TranslationError);
  });
});
