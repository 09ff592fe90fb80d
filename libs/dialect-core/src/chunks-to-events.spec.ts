import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import type { Usage } from '@meritorder/contracts';
import { EventsOfChunks, messageOfChat, TranslationError, type MessageEvent } from './index.js';
import { readEvents, said } from './read-events.for-tests.js';

type Any = Record<string, any>;
const NAMES = { id: 'fallback', model: 'fallback' };
const ASKED = { stopSequences: ['END'] };
const USAGE: Usage = {
  inputTokens: 7,
  cacheReadTokens: 5,
  cacheWrite5mTokens: 3,
  cacheWrite1hTokens: 2,
  outputTokens: 11,
  requests: 1,
};

function eventsOf(chunks: readonly Any[], usage: Usage | undefined = USAGE): MessageEvent[] {
  const events = new EventsOfChunks(NAMES, ASKED);
  return [...chunks.flatMap((chunk) => events.feed(chunk)), ...events.end(usage)];
}
const chunk = (delta: Any, finish_reason: string | null = null, more: Any = {}): Any => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  model: 'm-1',
  choices: [{ index: 0, delta, finish_reason, ...more }],
});
const call = (index: number, name: string, args: string, id?: string): Any => ({
  index,
  ...(id === undefined ? {} : { id, type: 'function' }),
  function: { ...(name === '' ? {} : { name }), arguments: args },
});

/** What servers say of an answer that they could not finish: DeepSeek, OpenRouter and Mistral, vLLM and SGLang; or nothing. */
const BROKEN = ['insufficient_system_resource', 'error', 'abort', undefined];

describe('the stream of a chat completion as the events of a message', () => {
  it('text: one block, told piece by piece', () => {
    const events = eventsOf([
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: 'Hel' }),
      chunk({ content: 'lo' }),
      chunk({}, 'stop'),
    ]);
    expect(events.map((e) => e.type)).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
    ]);
    expect(readEvents(events)).toEqual({
      id: 'chatcmpl-1',
      type: 'message',
      role: 'assistant',
      model: 'm-1',
      content: [{ type: 'text', text: 'Hello' }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: 7,
        cache_creation_input_tokens: 5,
        cache_read_input_tokens: 5,
        output_tokens: 11,
      },
    });
  });

  it('text, then two calls: a block each, in order', () => {
    const events = eventsOf([
      chunk({ content: 'Let me look.' }),
      chunk({ tool_calls: [call(0, 'weather', '', 'call_a')] }),
      chunk({ tool_calls: [call(0, '', '{"city":')] }),
      chunk({ tool_calls: [call(0, '', '"Oslo"}')] }),
      chunk({ tool_calls: [call(1, 'time', '{}', 'call_b')] }),
      chunk({}, 'tool_calls'),
    ]);
    expect(readEvents(events)).toMatchObject({
      content: [
        { type: 'text', text: 'Let me look.' },
        { type: 'tool_use', id: 'call_a', name: 'weather', input: { city: 'Oslo' } },
        { type: 'tool_use', id: 'call_b', name: 'time', input: {} },
      ],
      stop_reason: 'tool_use',
    });
  });

  it('pieces of two calls and of the text in turn: nothing is lost, and blocks follow one another', () => {
    const events = eventsOf([
      chunk({ tool_calls: [call(0, 'a', '{"x":', 'A')] }),
      chunk({ tool_calls: [call(1, 'b', '{"y":', 'B')] }),
      chunk({ content: 'aside' }),
      chunk({ tool_calls: [call(0, '', '"}{"}')] }),
      chunk({ tool_calls: [call(1, '', '2}')] }),
      chunk({}, 'tool_calls'),
    ]);
    expect(said(readEvents(events))).toMatchObject({
      text: 'aside',
      calls: [
        { id: 'A', name: 'a', input: { x: '}{' } },
        { id: 'B', name: 'b', input: { y: 2 } },
      ],
    });
  });

  it('two calls with the same index are two: each in a chunk, or in pieces that say no id', () => {
    const events = eventsOf([
      chunk({ tool_calls: [call(0, 'a', '{"x":1}', 'A')] }),
      chunk({ tool_calls: [call(0, 'b', '{"y":', 'B')] }),
      chunk({ tool_calls: [call(0, '', '2}', '')] }),
      chunk({}, 'tool_calls'),
    ]);
    expect(readEvents(events)['content']).toEqual([
      { type: 'tool_use', id: 'A', name: 'a', input: { x: 1 } },
      { type: 'tool_use', id: 'B', name: 'b', input: { y: 2 } },
    ]);
  });

  it('a call that says its id and name in every piece is one', () => {
    const pieces = ['{"x"', ':1', '}'].map((args) => chunk({ tool_calls: [call(0, 'a', args, 'A')] }));
    expect(readEvents(eventsOf([...pieces, chunk({}, 'tool_calls')]))['content']).toEqual([
      { type: 'tool_use', id: 'A', name: 'a', input: { x: 1 } },
    ]);
  });

  it.each<[string, string[]]>([
    ['none', ['']],
    ['null', ['null']],
    ['null in pieces', ['', ' nu', 'll', '\n']],
  ])('a call whose arguments are %s has none', (_what, pieces) => {
    const told = pieces.map((args) => chunk({ tool_calls: [call(0, 'a', args, 'A')] }));
    const events = eventsOf([...told, chunk({ tool_calls: [call(1, 'b', '{"y":null}', 'B')] }, 'tool_calls')]);
    const content = [
      { type: 'tool_use', id: 'A', name: 'a', input: {} },
      { type: 'tool_use', id: 'B', name: 'b', input: { y: null } },
    ];
    expect(readEvents(events)['content']).toEqual(content);
    const tool_calls = [call(0, 'a', pieces.join(''), 'A'), call(1, 'b', '{"y":null}', 'B')];
    const whole = { choices: [{ message: { tool_calls }, finish_reason: 'tool_calls' }] };
    expect(messageOfChat(whole, ASKED, USAGE)['content']).toEqual(content);
  });

  it('the arguments of a call are told while they come, not at its end', () => {
    const events = new EventsOfChunks(NAMES, ASKED);
    events.feed(chunk({ tool_calls: [call(0, 'a', '{"x":', 'A')] }));
    expect(events.feed(chunk({ tool_calls: [call(0, '', '1')] }))).toEqual([
      { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '1' } },
    ]);
  });

  it.each<[string, Any[], Any]>([
    ['the limit', [chunk({ content: 'x' }, 'length')], { stop_reason: 'max_tokens' }],
    ['a filter', [chunk({}, 'content_filter')], { stop_reason: 'refusal' }],
    [
      'a refusal',
      [chunk({ refusal: 'No.' }, 'stop')],
      { stop_reason: 'refusal', content: [{ type: 'text', text: 'No.' }] },
    ],
    ['`stop` beside calls', [chunk({ tool_calls: [call(0, 'a', '{}', 'A')] }, 'stop')], { stop_reason: 'tool_use' }],
    [
      'a stop sequence that the server names',
      [chunk({ content: 'x' }, 'stop', { stop_reason: 'END' })],
      { stop_reason: 'stop_sequence', stop_sequence: 'END' },
    ],
    ['a token that the server names', [chunk({}, 'stop', { stop_reason: 128_001 })], { stop_reason: 'end_turn' }],
    ['nothing at all', [], { id: 'fallback', model: 'fallback', content: [], stop_reason: 'end_turn' }],
    [
      'a call without an id',
      [chunk({ tool_calls: [{ function: { name: 'a', arguments: '{}' } }] }, 'tool_calls')],
      { content: [{ id: 'toolu_chatcmpl-1_0' }] },
    ],
    [
      'text in parts, and reasoning that nobody asked for',
      [chunk({ reasoning_content: 'hm', content: [{ type: 'text', text: 'a' }] }, 'stop')],
      { content: [{ type: 'text', text: 'a' }] },
    ],
  ])('%s', (_name, chunks, expected) => {
    expect(readEvents(eventsOf(chunks))).toMatchObject(expected);
  });

  it.each(BROKEN)('an answer that ends by %j is an error, never a turn that ended', (reason) => {
    const chunks = [chunk({ content: 'The contract ends on' }), chunk({}, reason)];
    expect(() => eventsOf(chunks)).toThrow(/^the answer broke off \(/);
    const whole = { choices: [{ message: { content: 'The contract ends on' }, finish_reason: reason }] };
    expect(() => messageOfChat(whole, ASKED, USAGE)).toThrow(/^the answer broke off \(/);
  });

  it.each([
    ['model_length', 'max_tokens'],
    ['model_context_window_exceeded', 'max_tokens'],
    ['eos_token', 'end_turn'],
  ])('an answer that ends by %s has the stop reason %s', (reason, stop_reason) => {
    expect(readEvents(eventsOf([chunk({ content: 'a' }, reason)]))).toMatchObject({ stop_reason });
    const whole = { choices: [{ message: { content: 'a' }, finish_reason: reason }] };
    expect(messageOfChat(whole, ASKED, USAGE)).toMatchObject({ stop_reason });
  });

  it('a call that the limit cut is told as far as it came', () => {
    const events = eventsOf([chunk({ tool_calls: [call(0, 'a', '{"x": "unfin', 'A')] }, 'length')]);
    expect(events.find((e) => (e['delta'] as Any)?.['type'] === 'input_json_delta')).toMatchObject({
      delta: { partial_json: '{"x": "unfin' },
    });
    expect(events.at(-1)).toMatchObject({ delta: { stop_reason: 'max_tokens' } });
  });

  it.each<[string, Any]>([
    ['arguments that are a list', call(0, 'a', '[1]', 'A')],
    ['arguments that go on after their end', call(0, 'a', '{} {}', 'A')],
    ['arguments that go on after null', call(0, 'a', 'null {}', 'A')],
    ['a call beyond any use', call(5_000, 'a', '{}', 'A')],
    ['a call that never gets a name', call(0, '', '{}', 'A')],
  ])('%s: an error, not a wrong call', (_name, bad) => {
    expect(() => eventsOf([chunk({ tool_calls: [bad] })])).toThrow(TranslationError);
  });
});

/** A random answer, whole. */
function randomAnswer(random: () => number): Any {
  const pick = (n: number): number => Math.floor(random() * n);
  const alphabet = ['a', 'B', ' ', '"', '\\', '{', '}', '[', ']', 'ß', '東', '😀', '\n', '\u2028'];
  const word = (most: number): string =>
    Array.from({ length: pick(most) }, () => alphabet[pick(alphabet.length)]).join('');
  const value = (depth: number): unknown =>
    [() => word(8), () => pick(1e6) / 7, () => null, () => true, () => [value(depth + 1)], () => object(depth + 1)][
      depth > 3 ? pick(4) : pick(6)
    ]!();
  const object = (depth: number): Any =>
    Object.fromEntries(Array.from({ length: pick(4) }, (_, i) => [`k${i}${word(3)}`, value(depth)]));
  const calls = Array.from({ length: pick(4) }, (_, i) => ({
    id: `call_${i}`,
    type: 'function',
    function: { name: `tool_${pick(9)}`, arguments: JSON.stringify(object(0), null, pick(3)) },
  }));
  const text = pick(4) === 0 ? null : word(60);
  return {
    id: 'chatcmpl-9',
    model: 'm-9',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: text, ...(calls.length > 0 ? { tool_calls: calls } : {}) },
        finish_reason:
          calls.length > 0 ? (pick(3) > 0 ? 'tool_calls' : 'stop') : (['stop', 'content_filter'][pick(2)] as string),
      },
    ],
  };
}

/** The same answer as chunks: each text cut anywhere, pieces of different texts in any turn, several pieces in a chunk. */
function randomChunks(answer: Any, random: () => number): Any[] {
  const pick = (n: number): number => Math.floor(random() * n);
  const { message, finish_reason } = answer['choices'][0];
  const cut = (text: string): string[] => {
    const pieces: string[] = [];
    for (let at = 0; at < text.length;) {
      const end = at + 1 + pick(pick(2) === 0 ? 3 : 30);
      pieces.push(text.slice(at, end));
      at = end;
    }
    return pieces;
  };
  const lanes: Any[][] = [
    cut(message.content ?? '').map((content) => ({ content })),
    ...(message.tool_calls ?? []).map(({ id, function: { name, arguments: args } }: Any, index: number) => [
      { tool_calls: [call(index, name, '', id)] },
      ...cut(args).map((piece) => ({ tool_calls: [call(index, '', piece)] })),
    ]),
  ].filter((lane) => lane.length > 0);
  const inTurn = pick(2) === 0;
  const deltas: Any[] = [];
  while (lanes.length > 0) {
    const at = inTurn ? pick(lanes.length) : 0;
    deltas.push(lanes[at]!.shift()!);
    if (lanes[at]!.length === 0) lanes.splice(at, 1);
  }
  const chunks: Any[] = [];
  for (const delta of deltas) {
    const before = chunks.at(-1)?.['choices'][0].delta;
    if (before && pick(3) === 0 && !(delta['content'] && before.content)) {
      if (delta['content']) before.content = delta['content'];
      else before.tool_calls = [...(before.tool_calls ?? []), ...delta['tool_calls']];
    } else chunks.push({ ...chunk({ ...delta }), id: answer['id'], model: answer['model'] });
  }
  const end = { ...chunk({}, finish_reason), id: answer['id'], model: answer['model'] };
  return [...chunks, end, { id: answer['id'], model: answer['model'], choices: [], usage: { prompt_tokens: 1 } }];
}

describe('whatever way an answer is cut into chunks', () => {
  it('the stream says what the whole answer says: 2,000 random answers, each cut 5 ways', () => {
    const random = seededRandom(11);
    for (let i = 0; i < 2_000; i++) {
      const answer = randomAnswer(random);
      const whole = said(messageOfChat(answer, ASKED, USAGE));
      for (let cut = 0; cut < 5; cut++) {
        const chunks = randomChunks(answer, random);
        expect(said(readEvents(eventsOf(chunks))), JSON.stringify(chunks)).toEqual(whole);
      }
    }
  });
});
