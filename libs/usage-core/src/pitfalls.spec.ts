import { describe, expect, it } from 'vitest';
import type { RateCard } from '@meritorder/contracts';
import { isModel, priceOfServed, rate } from '@meritorder/pricing-core';
import { estimatedUsage, outputTokensOf, readUsage, usageReader, type Dialect, type UsageReader } from './index.js';

type Any = Record<string, any>;

const card = (more: Partial<RateCard> = {}): RateCard => ({
  inputPicosPerToken: '1000000',
  cacheReadPicosPerToken: '100000',
  cacheWrite5mPicosPerToken: '1250000',
  cacheWrite1hPicosPerToken: '2000000',
  outputPicosPerToken: '5000000',
  requestPicos: '0',
  ...more,
});
const words = (text: string): number => text.split(/\s+/).filter(Boolean).length;

/** One answer of "one two three four five" in each dialect: what comes before its words, each word, and its last word. */
const STREAMS: Record<string, { dialect: Dialect; start: Any[]; word: (text: string) => Any; end: Any[] }> = {
  'OpenAI chat completions': {
    dialect: 'openai-chat',
    start: [{ id: 'c', model: 'm', choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] }],
    word: (content) => ({ id: 'c', model: 'm', choices: [{ index: 0, delta: { content } }] }),
    end: [
      { id: 'c', model: 'm', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
      { id: 'c', model: 'm', choices: [], usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } },
    ],
  },
  'OpenAI responses': {
    dialect: 'openai-responses',
    start: [{ type: 'response.created', response: { id: 'r', model: 'm', status: 'in_progress', usage: null } }],
    word: (delta) => ({ type: 'response.output_text.delta', delta }),
    end: [
      {
        type: 'response.completed',
        response: {
          id: 'r',
          model: 'm',
          status: 'completed',
          usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
        },
      },
    ],
  },
  'Anthropic messages': {
    dialect: 'anthropic-messages',
    start: [
      { type: 'message_start', message: { id: 'msg', model: 'm', usage: { input_tokens: 10, output_tokens: 0 } } },
    ],
    word: (text) => ({ type: 'content_block_delta', delta: { type: 'text_delta', text } }),
    end: [{ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 5 } }],
  },
  'Google generateContent': {
    dialect: 'google-gemini',
    start: [],
    word: (text) => ({ candidates: [{ content: { parts: [{ text }] } }] }),
    end: [
      {
        candidates: [{ finishReason: 'STOP' }],
        usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
      },
    ],
  },
  'Bedrock converse': {
    dialect: 'bedrock-converse',
    start: [{ messageStart: { role: 'assistant' } }],
    word: (text) => ({ contentBlockDelta: { delta: { text } } }),
    end: [{ messageStop: {} }, { metadata: { usage: { inputTokens: 10, outputTokens: 5, totalTokens: 15 } } }],
  },
  Cohere: {
    dialect: 'cohere',
    start: [{ type: 'message-start', id: 'c' }],
    word: (text) => ({ type: 'content-delta', delta: { message: { content: { text } } } }),
    end: [{ type: 'message-end', delta: { usage: { billed_units: { input_tokens: 10, output_tokens: 5 } } } }],
  },
  Ollama: {
    dialect: 'ollama',
    start: [],
    word: (content) => ({ model: 'm', done: false, message: { content } }),
    end: [{ model: 'm', done: true, prompt_eval_count: 10, eval_count: 5 }],
  },
  'llama-server': {
    dialect: 'openai-chat',
    start: [],
    word: (content) => ({ model: 'm', choices: [{ index: 0, delta: { content } }] }),
    end: [
      {
        model: 'm',
        choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
        timings: { prompt_n: 10, predicted_n: 5 },
      },
    ],
  },
  'vLLM with continuous usage': {
    dialect: 'openai-chat',
    start: [],
    word: (content) => ({ model: 'm', choices: [{ index: 0, delta: { content } }] }),
    end: [
      {
        model: 'm',
        choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
        usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
      },
    ],
  },
};
const WORDS = ['one ', 'two ', 'three ', 'four ', 'five '];

/** What gets booked: the backend's last word, or else an estimate. */
function booked(reader: UsageReader) {
  const reading = reader.read();
  return reading.complete
    ? { basis: reading.basis, usage: reading.usage! }
    : {
        basis: 'estimated',
        usage: estimatedUsage({
          inputTokensExpected: 10,
          reported: reading.usage,
          outputTokensSeen: reader.outputTokensSeen,
        })!,
      };
}

describe('pitfall 13: a client that leaves is charged for what was generated until then', () => {
  describe.each(Object.entries(STREAMS))('%s', (_name, { dialect, start, word, end }) => {
    const heard = (count: number, withEnd: boolean) => {
      const reader = usageReader(dialect, { countTokens: words });
      reader.feed(start);
      for (const text of WORDS.slice(0, count)) reader.feed(word(text));
      if (withEnd) reader.feed(end);
      return booked(reader);
    };

    it.each([0, 1, 3, 5])('after %i of 5 words: the input and those words, marked as estimated', (count) => {
      const { basis, usage } = heard(count, false);
      expect(basis).toBe('estimated');
      expect(usage).toMatchObject({ inputTokens: 10, outputTokens: count });
    });

    it('after the last block: what the backend counted', () => {
      const { basis, usage } = heard(5, true);
      expect(basis).not.toBe('estimated');
      expect(usage).toMatchObject({ inputTokens: 10, outputTokens: 5 });
    });
  });

  it('with usage in every chunk, what came after the last count is counted here', () => {
    const reader = usageReader('openai-chat', { countTokens: words });
    reader.feed({
      choices: [{ index: 0, delta: { content: 'one two ' } }],
      usage: { prompt_tokens: 12, completion_tokens: 2, total_tokens: 14 },
    });
    reader.feed({ choices: [{ index: 0, delta: { content: 'three ' } }] });
    expect(booked(reader)).toMatchObject({ basis: 'estimated', usage: { inputTokens: 12, outputTokens: 3 } });
  });

  it('a gigabyte of answer is counted in bounded memory', () => {
    const reader = usageReader('openai-chat', { countTokens: (text) => text.length });
    const event = { choices: [{ index: 0, delta: { content: 'x'.repeat(1_048_576) } }] };
    let longest = 0;
    const counting = usageReader('openai-chat', {
      countTokens: (text) => {
        longest = Math.max(longest, text.length);
        return text.length;
      },
    });
    for (let n = 0; n < 64; n++) {
      reader.feed(event);
      counting.feed(event);
    }
    expect(reader.outputTokensSeen).toBe(64 * 1_048_576);
    expect(longest).toBeLessThanOrEqual(2_048);
  });
});

describe('pitfall 15: cumulative blocks are never added up', () => {
  it('message_start and message_delta of Anthropic: the last writer of each field wins', () => {
    const reader = usageReader('anthropic-messages');
    reader.feed({
      type: 'message_start',
      message: {
        usage: { input_tokens: 1_500, output_tokens: 1, cache_read_input_tokens: 200, service_tier: 'standard' },
      },
    });
    reader.feed({ type: 'message_delta', usage: { output_tokens: 15 } });
    reader.feed({ type: 'message_delta', usage: { input_tokens: 1_500, output_tokens: 16 } });
    expect(reader.read().usage).toMatchObject({ inputTokens: 1_500, cacheReadTokens: 200, outputTokens: 16 });
  });

  it.each(Object.entries(STREAMS))('%s: a block that is sent twice counts once', (_name, { dialect, start, end }) => {
    const reader = usageReader(dialect);
    reader.feed([...start, ...end, ...end, ...end]);
    expect(reader.read().usage).toMatchObject({ inputTokens: 10, outputTokens: 5 });
  });
});

describe('pitfall 16: cached tokens are priced once, at the cached rate', () => {
  it('the same usage costs the same in every dialect', () => {
    const said: [Dialect, Any][] = [
      [
        'openai-chat',
        {
          usage: {
            prompt_tokens: 1_000,
            completion_tokens: 50,
            total_tokens: 1_050,
            prompt_tokens_details: { cached_tokens: 900 },
          },
        },
      ],
      [
        'openai-responses',
        {
          object: 'response',
          usage: {
            input_tokens: 1_000,
            output_tokens: 50,
            total_tokens: 1_050,
            input_tokens_details: { cached_tokens: 900 },
          },
        },
      ],
      [
        'anthropic-messages',
        { type: 'message', usage: { input_tokens: 100, output_tokens: 50, cache_read_input_tokens: 900 } },
      ],
      [
        'google-gemini',
        {
          usageMetadata: {
            promptTokenCount: 1_000,
            candidatesTokenCount: 50,
            cachedContentTokenCount: 900,
            totalTokenCount: 1_050,
          },
        },
      ],
      [
        'bedrock-converse',
        { usage: { inputTokens: 100, outputTokens: 50, cacheReadInputTokens: 900, totalTokens: 1_050 } },
      ],
      ['openai-chat', { choices: [], timings: { prompt_n: 100, cache_n: 900, predicted_n: 50 } }],
      [
        'openai-chat',
        { usage: { prompt_tokens: 1_000, completion_tokens: 50, total_tokens: 1_050, prompt_cache_hit_tokens: 900 } },
      ],
    ];
    const costs = said.map(([dialect, body]) => {
      const cash = card();
      return rate({ cash, full: cash }, readUsage(dialect, body).usage!, { atMs: 0 }).cashNanos;
    });
    // 100 x $1 + 900 x $0.10 + 50 x $5, by the million.
    expect(new Set(costs)).toEqual(new Set([440_000n]));
  });
});

describe('pitfall 17: reasoning tokens are billed once', () => {
  it('prompt 64, completion 135 with 78 of reasoning make 199', () => {
    const { usage } = readUsage('openai-chat', {
      choices: [],
      usage: {
        prompt_tokens: 64,
        completion_tokens: 135,
        total_tokens: 199,
        completion_tokens_details: { reasoning_tokens: 78 },
      },
    });
    expect(usage).toMatchObject({ inputTokens: 64, outputTokens: 135, reasoningTokens: 78 });
  });

  it('where the total shows them outside, and 199 more are missing without them, they are output too', () => {
    const block = { prompt_tokens: 64, completion_tokens: 135, completion_tokens_details: { reasoning_tokens: 78 } };
    const read = (total: number) => readUsage('openai-chat', { choices: [], usage: { ...block, total_tokens: total } });
    expect(read(199).usage!.outputTokens).toBe(135);
    expect(read(277)).toMatchObject({
      usage: { outputTokens: 213, reasoningTokens: 78 },
      notes: ['outside:reasoning'],
    });
  });

  it('without a total the provider decides, and reasoning that cannot lie inside lies outside', () => {
    const usage = { prompt_tokens: 64, completion_tokens: 135, completion_tokens_details: { reasoning_tokens: 78 } };
    expect(readUsage('openai-chat', { choices: [], usage }).usage!.outputTokens).toBe(135);
    expect(readUsage('openai-chat', { choices: [], usage }, { provider: 'x-ai' }).usage!.outputTokens).toBe(213);
    const more = { ...usage, completion_tokens_details: { reasoning_tokens: 200 } };
    expect(readUsage('openai-chat', { choices: [], usage: more }).usage!.outputTokens).toBe(335);
  });
});

describe('pitfall 18: a provider that never sends usage is counted here, and marked', () => {
  it('a whole answer and a whole stream cost more than nothing', () => {
    const body = {
      choices: [{ message: { content: 'one two three', tool_calls: [{ function: { name: 'f', arguments: '{}' } }] } }],
    };
    const reader = usageReader('openai-chat', { countTokens: (text) => text.length });
    reader.feed(body);
    const { basis, usage } = booked(reader);
    expect(basis).toBe('estimated');
    expect(usage).toEqual({
      inputTokens: 10,
      cacheReadTokens: 0,
      cacheWrite5mTokens: 0,
      cacheWrite1hTokens: 0,
      outputTokens: 'one two threef{}'.length,
      requests: 1,
    });
    expect(rate({ cash: card(), full: card() }, usage, { atMs: 0 }).cashNanos).toBeGreaterThan(0n);
  });

  it('by a ratio where no tokenizer counts, rounded up', () => {
    expect(outputTokensOf('', () => undefined)).toBe(0);
    expect(outputTokensOf('12345', () => undefined)).toBe(2);
    expect(outputTokensOf('12345', (text) => text.length)).toBe(5);
    expect(outputTokensOf('x'.repeat(10_000), () => undefined)).toBe(2_500);
  });

  it('with neither usage nor an expected input nobody can say, so it is no usage and not a free one', () => {
    expect(estimatedUsage({ inputTokensExpected: undefined, outputTokensSeen: 5 })).toBeUndefined();
    expect(estimatedUsage({ inputTokensExpected: Number.NaN, outputTokensSeen: 5 })).toBeUndefined();
    expect(estimatedUsage({ inputTokensExpected: 9.2, outputTokensSeen: 5 })).toMatchObject({
      inputTokens: 10,
      outputTokens: 5,
    });
  });
});

describe('pitfall 20: the tier that served is the tier that is billed', () => {
  it.each<[string, Dialect, Any, string | undefined]>([
    [
      'OpenAI served default although flex was asked',
      'openai-chat',
      { service_tier: 'default', choices: [] },
      'standard',
    ],
    ['OpenAI flex', 'openai-chat', { service_tier: 'flex', choices: [] }, 'flex'],
    ['OpenAI auto', 'openai-responses', { object: 'response', service_tier: 'auto' }, 'standard'],
    ['OpenAI priority', 'openai-responses', { response: { service_tier: 'priority' } }, 'priority'],
    ['Anthropic batch', 'anthropic-messages', { type: 'message', usage: { service_tier: 'batch' } }, 'batch'],
    ['Anthropic standard', 'anthropic-messages', { type: 'message', usage: { service_tier: 'standard' } }, 'standard'],
    ['Vertex flex', 'google-gemini', { usageMetadata: { trafficType: 'ON_DEMAND_FLEX' } }, 'flex'],
    ['Vertex on demand', 'google-gemini', { usageMetadata: { trafficType: 'ON_DEMAND' } }, 'standard'],
    ['Gemini priority', 'google-gemini', { usageMetadata: { serviceTier: 'priority' } }, 'priority'],
    ['Groq on demand', 'openai-chat', { service_tier: 'on_demand', choices: [] }, 'standard'],
    ['Bedrock flex', 'bedrock-converse', { usage: {}, serviceTier: { type: 'flex' } }, 'flex'],
    ['none said', 'openai-chat', { choices: [] }, undefined],
  ])('%s', (_name, dialect, body, tier) => {
    expect(readUsage(dialect, body).servedTier).toBe(tier);
  });

  it('the last event that names a tier counts: auto when it began, flex when it ended', () => {
    const reader = usageReader('openai-responses');
    reader.feed({ type: 'response.created', response: { service_tier: 'auto' } });
    reader.feed({ type: 'response.completed', response: { service_tier: 'flex' } });
    expect(reader.read().servedTier).toBe('flex');
  });

  it('a tier that is paid for in advance is none of ours, and said to be', () => {
    const reading = readUsage('google-gemini', { usageMetadata: { trafficType: 'PROVISIONED_THROUGHPUT' } });
    expect(reading).toMatchObject({ servedTier: undefined, notes: ['tier:provisioned_throughput'] });
  });

  it('flex that was asked and default that was served cost the standard price', () => {
    const cash = card({
      serviceTiers: { flex: { ...card(), inputPicosPerToken: '500000', outputPicosPerToken: '2500000' } },
    });
    const read = (service_tier: string) => {
      const { usage, servedTier } = readUsage('openai-chat', {
        service_tier,
        choices: [],
        usage: { prompt_tokens: 1_000, completion_tokens: 100, total_tokens: 1_100 },
      });
      return rate({ cash, full: cash }, usage!, { tier: servedTier, atMs: 0 }).cashNanos;
    };
    expect(read('default')).toBe(1_500_000n);
    expect(read('flex')).toBe(750_000n);
  });
});

describe('pitfall 22: what is not stated is not zero', () => {
  it('a block of nulls, of nothing, or of another provider is no usage, never a usage of zero', () => {
    for (const usage of [
      null,
      {},
      { prompt_tokens: null },
      { completion_tokens: 4 },
      { inputTokens: 3, outputTokens: 2 },
    ])
      expect(readUsage('openai-chat', { choices: [], usage }).usage, JSON.stringify(usage)).toBeUndefined();
  });

  it('a model that answers other than the one asked is named, so that it is the one billed', () => {
    const { servedModel } = readUsage('openai-chat', { model: 'gpt-4.1-2025-04-14', choices: [] });
    expect(isModel('gpt-4.1', servedModel!)).toBe(true);
    const price = (id: string, model?: string) => ({
      id,
      backend: 'b',
      model,
      effectiveFrom: '',
      cash: card(),
      full: card(),
      source: '',
    });
    const other = readUsage('openai-chat', { model: 'gpt-4.1-mini-2025-04-14', choices: [] }).servedModel;
    const served = priceOfServed({ model: 'gpt-4.1', kind: 'cloud' }, other, price('own') as any, [
      price('mini', 'gpt-4.1-mini') as any,
    ]);
    expect(served.price.id).toBe('mini');
  });

  it('an empty name is no name', () => {
    const reader = usageReader('openai-chat');
    reader.feed([
      { model: 'm-1', id: 'c', choices: [] },
      { model: '', id: '', choices: [] },
    ]);
    expect(reader.read()).toMatchObject({ servedModel: 'm-1', providerCallId: 'c' });
  });
});
