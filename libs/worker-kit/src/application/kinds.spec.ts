import { describe, expect, it } from 'vitest';
import { answerDialect } from './answer-dialect.js';
import { attempt, block, named, terms, usage, type World } from './attempt-world.for-tests.js';
import { ReaderAway, type Upstream, type UpstreamRequest } from './ports.js';
import { upstreamFor, type Wires } from './upstream-for.js';

type Any = Record<string, any>;
const BODY = { model: 'auto', max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] };
const OF_MESSAGES: Partial<World> = { work: { terms: { ...terms, kind: 'messages' }, body: BODY } };

/** An attempt of kind messages, with all that the caller got. */
async function messages(world: World) {
  const events: Any[] = [];
  const work = {
    ...OF_MESSAGES.work,
    ...world.work,
    terms: { ...terms, ...world.work?.terms, kind: 'messages' as const },
  };
  const onChunk: World['onChunk'] = (_seq, _abort, json) => events.push(JSON.parse(json));
  return attempt({ translated: true, ...world, work, onChunk }).then((seen) => ({ ...seen, events }));
}
const chunksOf = (chunks: Any[], last: Any = { choices: [], usage: block }) =>
  async function* (request: UpstreamRequest): AsyncGenerator<string, void> {
    for (const chunk of chunks) {
      request.reader.feed({ ...named, ...chunk });
      yield JSON.stringify({ ...named, ...chunk });
    }
    request.reader.feed({ ...named, ...last });
    request.reader.end();
  };
const says = (content: string, finish_reason: string | null = null): Any => ({
  choices: [{ index: 0, delta: { content }, finish_reason }],
});
const answers =
  (message: Any, finish_reason = 'stop') =>
  async (request: UpstreamRequest): Promise<Record<string, unknown>> => {
    const body = { ...named, object: 'chat.completion', choices: [{ message, finish_reason }], usage: block };
    request.reader.feed(body);
    request.reader.end();
    return body;
  };
const COUNTS = { input_tokens: 10, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 2 };

describe('messages of a backend that speaks chat completions', () => {
  it('are asked for as a chat completion, and answered as a message with its receipt', async () => {
    let asked: Any = {};
    const { finished, closed } = await messages({
      upstream: (request) => ((asked = request.body), answers({ content: 'Hello' })(request)),
      work: { body: { ...BODY, system: 'Be brief.', cache_control: { type: 'ephemeral' } } },
    });
    expect(asked).toEqual({
      model: 'auto',
      max_tokens: 100,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi' },
      ],
    });
    expect(finished[0]).toMatchObject({
      id: 'call-1',
      type: 'message',
      content: [{ type: 'text', text: 'Hello' }],
      stop_reason: 'end_turn',
      usage: COUNTS,
      meritorder: { usage, cost: { basis: 'confirmed' } },
    });
    expect(finished[0]).not.toHaveProperty('choices');
    expect(closed).toMatchObject([{ outcome: 'finished', kind: 'messages', usage }]);
  });

  it('stream as events, and the last one has the receipt', async () => {
    const { events, finished, closed, log } = await messages({
      stream: true,
      upstream: chunksOf([says('Hel'), says('lo', 'length')]),
    });
    expect(events.map((e) => e['type'])).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
    ]);
    expect(events.at(-1)).toMatchObject({ delta: { stop_reason: 'max_tokens' }, usage: COUNTS });
    expect(finished).toMatchObject([{ type: 'message_stop', meritorder: { usage } }]);
    expect(closed).toMatchObject([{ outcome: 'finished', usage }]);
    expect(log.indexOf('closed finished')).toBeLessThan(log.indexOf('answer ok'));
  });

  it('are told the counts that are booked, where the backend said none', async () => {
    const { events, closed } = await messages({
      stream: true,
      upstream: chunksOf([says('hello world', 'stop')], { choices: [] }),
      work: { inputTokensExpected: 33 },
    });
    expect(closed[0]).toMatchObject({ usageBasis: 'estimated', usage: { inputTokens: 33 } });
    const { outputTokens } = closed[0]!.usage!;
    expect(outputTokens).toBeGreaterThan(0);
    expect(events.at(-1)!['usage']).toMatchObject({ input_tokens: 33, output_tokens: outputTokens });
  });

  it.each<[string, World]>([
    ['whole', { upstream: answers({ tool_calls: [{ function: { name: 'a', arguments: '{"x":' } }] }) }],
    [
      'streamed',
      {
        stream: true,
        upstream: chunksOf([
          { choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { name: 'a', arguments: '[]' } }] } }] },
        ]),
      },
    ],
  ])('%s, an answer that no message can say is a failure that is booked once', async (_name, world) => {
    const { closed, sent, log } = await messages(world);
    expect(closed).toMatchObject([{ outcome: 'failed', sent: true, code: 'protocol' }]);
    expect(sent.find((e) => e.type === 'failed')).toMatchObject({
      code: 'protocol',
      message: expect.stringContaining('no JSON object'),
    });
    expect(log.filter((l) => l.startsWith('answer'))).toEqual([]);
  });

  it('that are cancelled end with the receipt of what was generated', async () => {
    const { finished, closed } = await messages({
      stream: true,
      upstream: async function* (request, abort) {
        request.reader.feed({ ...named, ...says('some words') });
        yield JSON.stringify(says('some words'));
        abort.abort('cancelled');
        throw new Error('aborted');
      },
      work: { inputTokensExpected: 10 },
    });
    expect(finished).toMatchObject([{ type: 'message_stop', meritorder: { attempts: [{ outcome: 'cancelled' }] } }]);
    expect(closed).toMatchObject([{ outcome: 'cancelled', usageBasis: 'estimated' }]);
  });

  it('and whose hold is used up end as at their limit', async () => {
    const governed = { heldTokens: 40, maxTokens: 400, sliceTokens: 20 };
    const { events, closed } = await messages({
      stream: true,
      upstream: chunksOf(Array.from({ length: 100 }, () => says('hello world '))),
      work: { terms: { ...terms, governed }, inputTokensExpected: 10 },
      extend: () => ({ type: 'not-extended', cause: 'budget', budget: 'soft', window: '2026-11', message: 'no room' }),
    });
    expect(events.slice(-2)).toMatchObject([
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'max_tokens' } },
    ]);
    expect(closed).toMatchObject([{ outcome: 'cancelled', code: 'budget' }]);
    expect(events.at(-1)!['usage'].output_tokens).toBe(closed[0]!.usage!.outputTokens);
  });

  it('are refused before anything is recorded, where a chat completion cannot say them', () => {
    const work = { terms: { ...terms, kind: 'messages' as const }, body: { ...BODY, top_k: 3 } };
    expect(() => answerDialect(work, true)).toThrow(/sampling by rank \(top_k\)/);
    expect(answerDialect(work, false).body).toBe(work.body);
  });
});

describe('messages of a backend that speaks them', () => {
  const EVENTS: Any[] = [
    {
      type: 'message_start',
      message: {
        id: 'msg_1',
        model: 'c-1',
        type: 'message',
        role: 'assistant',
        content: [],
        usage: { input_tokens: 10, output_tokens: 1 },
      },
    },
    { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'hm' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } },
    { type: 'message_stop' },
  ];
  const native = (events: Any[]) =>
    async function* (request: UpstreamRequest): AsyncGenerator<string, void> {
      for (const event of events) {
        request.reader.feed(event);
        yield JSON.stringify(event);
      }
      request.reader.end();
    };

  it('are passed on as they come; message_stop waits for the receipt', async () => {
    const { events, finished, closed } = await messages({
      stream: true,
      translated: false,
      dialect: 'anthropic-messages',
      upstream: native(EVENTS),
    });
    expect(events).toEqual(EVENTS.slice(0, -1));
    expect(finished).toMatchObject([{ type: 'message_stop', meritorder: { usage } }]);
    expect(closed).toMatchObject([{ servedModel: 'c-1', providerCallId: 'msg_1', usage }]);
  });

  it('whole, are what the backend said, and the receipt', async () => {
    const said = { ...EVENTS[0]!['message'], stop_reason: 'end_turn', usage: { input_tokens: 10, output_tokens: 2 } };
    const { finished } = await messages({
      translated: false,
      dialect: 'anthropic-messages',
      upstream: async (request) => (request.reader.feed(said), request.reader.end(), said),
    });
    const { meritorder, ...rest } = finished[0];
    expect(rest).toEqual(said);
    expect(meritorder).toMatchObject({ usage });
  });

  it('and whose hold is used up end as at their limit, with nothing left open', async () => {
    const word = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'hello world ' } };
    const governed = { heldTokens: 40, maxTokens: 400, sliceTokens: 20 };
    const { events, closed, finished } = await messages({
      stream: true,
      translated: false,
      dialect: 'anthropic-messages',
      upstream: native([
        EVENTS[0]!,
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        ...Array.from({ length: 100 }, () => word),
      ]),
      work: { terms: { ...terms, governed }, inputTokensExpected: 10 },
      extend: () => ({ type: 'not-extended', cause: 'budget', budget: 'soft', window: '2026-11', message: 'no room' }),
    });
    expect(events.slice(-2)).toMatchObject([
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'max_tokens' } },
    ]);
    expect(events.at(-1)!['usage'].output_tokens).toBe(closed[0]!.usage!.outputTokens);
    expect(closed).toMatchObject([{ outcome: 'cancelled', code: 'budget' }]);
    expect(finished).toMatchObject([{ meritorder: { ended_by: { cause: 'budget', budget: 'soft' } } }]);
  });
});

describe('an answer', () => {
  const inParts = {
    maxMessageBytes: 40_000,
    upstream: answers({ content: 'x'.repeat(60_000) }),
    work: { terms: { ...terms, kind: 'embeddings' as const }, maxAnswerBytes: 1_000_000 },
  };

  it('that no message carries goes to a caller that takes parts, up to what that takes', async () => {
    const whole = await attempt(inParts);
    expect(whole.closed).toMatchObject([{ outcome: 'finished', usage }]);
    expect(whole.log.slice(-2)).toEqual(['answer ok', 'finished']);
    const more = await attempt({ ...inParts, work: { ...inParts.work, maxAnswerBytes: 90_000 } });
    expect(more.sent.find((e) => e.type === 'failed')).toMatchObject({
      retryable: false,
      message: expect.stringMatching(/has 60\d\d\d bytes and the caller takes 57232/),
    });
  });

  it.each<[string, (abort: AbortController) => Error, string, string]>([
    ['whose reader stays away', () => new ReaderAway('nothing was acknowledged'), 'error reader_away', 'error'],
    ['that is cancelled', (abort) => (abort.abort('cancelled'), new Error('aborted')), 'error cancelled', 'cancelled'],
  ])('in parts %s ends with an error, booked as the whole that it was', async (_name, broken, expected, status) => {
    const { log, closed, sent } = await attempt({
      ...inParts,
      onFinish: async (abort) => Promise.reject(broken(abort)),
    });
    expect(closed).toMatchObject([{ outcome: 'finished', usage }]);
    expect(log.slice(-3)).toEqual(['answer ok', expected, 'finished']);
    expect(sent.at(-1)).toMatchObject({ type: 'finished', status });
  });

  it('that no message carries is refused with its size, booked once, and not asked for again', async () => {
    const { closed, sent, finished } = await attempt({
      maxMessageBytes: 40_000,
      upstream: answers({ content: 'x'.repeat(10_000) }),
      work: { terms: { ...terms, kind: 'embeddings' } },
    });
    expect(closed).toMatchObject([{ outcome: 'failed', usage }]);
    expect(sent.find((e) => e.type === 'failed')).toMatchObject({
      retryable: false,
      message: expect.stringMatching(/has 10\d\d\d bytes.*base64/),
    });
    expect(finished).toEqual([]);
  });

  it('of embeddings is what the backend said, and the receipt', async () => {
    const { finished, closed } = await attempt({
      dialect: 'openai-embeddings',
      upstream: async (request) => {
        const body = {
          object: 'list',
          data: [{ index: 0, embedding: [1] }],
          model: 'e',
          usage: { prompt_tokens: 7, total_tokens: 7 },
        };
        request.reader.feed(body);
        request.reader.end();
        return body;
      },
      work: { terms: { ...terms, kind: 'embeddings' }, body: { input: 'a' } },
    });
    expect(finished[0]).toMatchObject({
      object: 'list',
      data: [{ embedding: [1] }],
      meritorder: { usage: { inputTokens: 7, outputTokens: 0 } },
    });
    expect(closed).toMatchObject([{ usage: { inputTokens: 7, outputTokens: 0 }, usageBasis: 'reported' }]);
  });
});

describe('the way to a backend', () => {
  const wire = (name: string): Upstream => ({ name }) as unknown as Upstream;
  const wires: Wires = {
    openai: { chat: wire('oc'), embeddings: wire('oe') },
    anthropic: { chat: wire('ac'), messages: wire('am') },
  };
  it.each([
    ['openai', 'chat', 'oc', false],
    ['openai', 'embeddings', 'oe', false],
    ['openai', 'messages', 'oc', true],
    ['anthropic', 'messages', 'am', false],
    ['anthropic', 'chat', 'ac', false],
    ['anthropic', 'embeddings', undefined, undefined],
    ['another', 'chat', undefined, undefined],
  ] as const)('of protocol %s for %s: %s, translated: %s', (protocol, kind, name, translated) => {
    const found = upstreamFor(wires, { protocol } as never, kind);
    expect((found?.upstream as unknown as Any)?.['name']).toBe(name);
    expect(found?.translated).toBe(translated);
  });
});
