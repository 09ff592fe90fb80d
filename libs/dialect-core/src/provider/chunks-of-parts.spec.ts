import { describe, expect, it } from 'vitest';
import { ChunksOfParts, completionOfContent, completionUsage, unsaidOnWire } from '../index.js';

type Any = Record<string, any>;
const NAMES = { id: 'answer-1', model: 'm-1' };
const finish = (unified: string, raw?: string): Any => ({ type: 'finish', finishReason: { unified, raw }, usage: {} });
const chunksOf = (parts: Any[]): { chunks: Any[]; translator: ChunksOfParts } => {
  const translator = new ChunksOfParts(NAMES, 7);
  return { translator, chunks: parts.flatMap((part): Any[] => [translator.feed(part as never) ?? []].flat()) };
};

describe('a stream of parts', () => {
  it('is told as chunks: the role once, text, reasoning, calls by their index, the reason', () => {
    const { chunks } = chunksOf([
      { type: 'stream-start', warnings: [] },
      { type: 'reasoning-delta', id: '0', delta: 'Hm.' },
      { type: 'text-start', id: '1' },
      { type: 'text-delta', id: '1', delta: 'Hi' },
      { type: 'text-delta', id: '1', delta: '' },
      { type: 'tool-input-start', id: 'a', toolName: 'f' },
      { type: 'tool-input-delta', id: 'a', delta: '{"x":' },
      { type: 'tool-input-delta', id: 'a', delta: '1}' },
      { type: 'tool-call', toolCallId: 'a', toolName: 'f', input: '{"x":1}' },
      { type: 'tool-call', toolCallId: 'b', toolName: 'g', input: '{}' },
      finish('tool-calls', 'tool_use'),
    ]);
    expect(chunks.map(({ choices }) => choices[0].delta)).toEqual([
      { role: 'assistant', reasoning_content: 'Hm.' },
      { content: 'Hi' },
      { tool_calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"x":' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '1}' } }] },
      { tool_calls: [{ index: 1, id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } }] },
      {},
    ]);
    expect(chunks.map(({ choices }) => choices[0].finish_reason)).toEqual([...Array(6).fill(null), 'tool_calls']);
    expect(chunks[0]).toMatchObject({ ...NAMES, object: 'chat.completion.chunk', created: 7 });
  });

  it.each([
    ['stop', 'end_turn', 'stop'],
    ['length', 'max_tokens', 'length'],
    ['tool-calls', 'tool_use', 'tool_calls'],
    ['content-filter', 'refusal', 'content_filter'],
    ['other', 'compaction', 'stop'],
    ['other', 'UNEXPECTED_TOOL_CALL', undefined],
    ['other', 'MALFORMED_RESPONSE', undefined],
    ['other', 'OTHER', undefined],
    ['other', 'malformed_tool_use', undefined],
    ['other', 'model_context_window_exceeded', 'length'],
    ['other', 'IMAGE_PROHIBITED_CONTENT', 'content_filter'],
    ['other', 'a reason of tomorrow', undefined],
    ['other', undefined, undefined],
    ['interrupted', undefined, undefined],
    ['error', undefined, undefined],
  ])('that ends with %s (%s) ends with %s', (unified, raw, reason) => {
    const { chunks, translator } = chunksOf([finish(unified, raw)]);
    expect(translator.finishReason).toBe(reason);
    const only = { index: 0, delta: { role: 'assistant' }, finish_reason: reason };
    expect(chunks.map(({ choices }) => choices[0])).toEqual(reason === undefined ? [] : [only]);
  });

  it('that has said something and ends with a reason nobody knows is an answer; with one of a failure it is none', () => {
    const said = { type: 'text-delta', id: '1', delta: 'Hi' };
    expect(chunksOf([said, finish('other', 'a reason of tomorrow')]).translator.finishReason).toBe('stop');
    const { translator, chunks } = chunksOf([said, finish('other', 'UNEXPECTED_TOOL_CALL')]);
    expect(translator.finishReason).toBeUndefined();
    expect(translator.brokenOff).toBe('the answer broke off (UNEXPECTED_TOOL_CALL)');
    expect(chunks).toHaveLength(1);
  });

  it.each<[string, Any]>([
    ['a file', { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'A' } }],
    [
      'a tool of the provider',
      { type: 'tool-call', toolCallId: 'a', toolName: 'f', input: '{}', providerExecuted: true },
    ],
    ['a piece of no call', { type: 'tool-input-delta', id: 'z', delta: '1' }],
  ])('with %s is refused, not told without it', (_name, part) => {
    expect(() => chunksOf([part])).toThrow(/the answer has a file|of its own|was not begun/);
  });
});

describe('a whole answer', () => {
  it('is a chat completion with the counts of the books', () => {
    const content = [
      { type: 'reasoning', text: 'Hm.' },
      { type: 'text', text: 'Hi ' },
      { type: 'text', text: 'there' },
      { type: 'tool-call', toolCallId: 'a', toolName: 'f', input: '{}' },
    ];
    const usage = {
      inputTokens: 10,
      cacheReadTokens: 20,
      cacheWrite5mTokens: 3,
      cacheWrite1hTokens: 4,
      outputTokens: 9,
      reasoningTokens: 5,
      requests: 1,
      units: { inputImageTokens: 100 },
    };
    const answer = completionOfContent(
      { content, finishReason: { unified: 'tool-calls', raw: 'x' } } as never,
      NAMES,
      7,
      usage,
    );
    expect(answer).toEqual({
      ...NAMES,
      object: 'chat.completion',
      created: 7,
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'Hi there',
            refusal: null,
            reasoning_content: 'Hm.',
            tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
          },
          logprobs: null,
          finish_reason: 'tool_calls',
        },
      ],
      usage: {
        prompt_tokens: 137,
        completion_tokens: 9,
        total_tokens: 146,
        prompt_tokens_details: { cached_tokens: 20 },
        completion_tokens_details: { reasoning_tokens: 5 },
      },
    });
    expect(completionUsage(undefined)).toBeUndefined();
  });

  it('that broke off is none', () => {
    const broken = { content: [], finishReason: { unified: 'interrupted' as const, raw: undefined } };
    expect(() => completionOfContent(broken, NAMES, 7, undefined)).toThrow('broke off');
    const failed = { content: [], finishReason: { unified: 'other' as const, raw: 'UNEXPECTED_TOOL_CALL' } };
    expect(() => completionOfContent(failed, NAMES, 7, undefined)).toThrow('broke off (UNEXPECTED_TOOL_CALL)');
  });
});

describe('what an SDK is about to send', () => {
  const asked = { prompt: [], maxOutputTokens: 50, temperature: 0.5 };
  it.each<[string, Any, Any, string | undefined]>([
    ['is all that was asked', asked, { max_tokens: 50, temperature: 0.5 }, undefined],
    ['allows less', asked, { max_tokens: 40, temperature: 0.5 }, undefined],
    ['allows more output than is held', asked, { max_tokens: 51, temperature: 0.5 }, 'limit of 50'],
    ['has no limit', asked, { temperature: 0.5 }, 'limit of 50'],
    ['lacks a setting', asked, { max_tokens: 50 }, 'temperature'],
    ['has another value', asked, { max_tokens: 50, temperature: 1 }, 'temperature'],
    [
      'lacks a tool',
      { prompt: [], tools: [{ type: 'function', name: 'f' }] },
      { tools: [{ name: 'g' }] },
      'the tool f',
    ],
    [
      'leaves the choice open',
      { prompt: [], tools: [{ type: 'function', name: 'f' }], toolChoice: { type: 'required' } },
      { tools: [{ name: 'f' }], tool_choice: { type: 'auto' } },
      'the choice of tools',
    ],
    ['thinks', { prompt: [], reasoning: 'low' }, { thinking: { type: 'adaptive' } }, undefined],
    ['does not think', { prompt: [], reasoning: 'low' }, {}, 'reasoning_effort'],
    ['does not think, as asked', { prompt: [], reasoning: 'none' }, { thinking: { type: 'disabled' } }, undefined],
    ['thinks unasked', { prompt: [], reasoning: 'none' }, { output_config: { effort: 'low' } }, 'reasoning_effort'],
    [
      'thinks before a tool that it has to call',
      { prompt: [] },
      { thinking: { type: 'enabled' }, tool_choice: { type: 'tool', name: 'json' } },
      'beside this format',
    ],
  ])('%s', (_name, options, body, missing) => {
    const said = unsaidOnWire('anthropic', options as never, body);
    if (missing === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(missing);
  });
});
