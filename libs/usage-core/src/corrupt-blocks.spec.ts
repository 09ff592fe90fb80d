import { describe, expect, it } from 'vitest';
import type { Usage } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { chat, gemini, message, responses } from './answers.for-tests.js';
import { readUsage, totalTokensOf, usageReader, type Dialect } from './index.js';

describe('a corrupt block', () => {
  const whole = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
  it.each<[string, Dialect, unknown, Partial<Usage> | undefined, string]>([
    ['a negative count', 'openai-chat', chat({ ...whole, prompt_tokens: -1 }), undefined, 'corrupt:input'],
    ['a fraction', 'openai-chat', chat({ ...whole, completion_tokens: 1.5 }), undefined, 'corrupt:output'],
    ['text', 'openai-chat', chat({ ...whole, prompt_tokens: '10' }), undefined, 'corrupt:input'],
    ['beyond exact integers', 'openai-chat', chat({ ...whole, prompt_tokens: 1e300 }), undefined, 'corrupt:input'],
    [
      'a part that is no count',
      'openai-chat',
      chat({ ...whole, prompt_tokens_details: { cached_tokens: 'many' } }),
      undefined,
      'corrupt:cacheRead',
    ],
    [
      'more cached than prompt is all the prompt',
      'openai-chat',
      chat({ ...whole, prompt_tokens_details: { cached_tokens: 99 } }),
      { inputTokens: 0, cacheReadTokens: 10, outputTokens: 5 },
      'clamped:cacheRead',
    ],
    [
      'more reasoning than completion, with a total that has it inside, is all the completion',
      'openai-chat',
      chat({ ...whole, completion_tokens_details: { reasoning_tokens: 99 } }),
      { outputTokens: 5, reasoningTokens: 5 },
      'clamped:reasoning',
    ],
    [
      'more audio than prompt',
      'openai-chat',
      chat({ ...whole, prompt_tokens_details: { audio_tokens: 99 } }),
      { inputTokens: 0, units: { inputAudioTokens: 10 } },
      'clamped:inputAudioTokens',
    ],
    [
      'Anthropic, negative',
      'anthropic-messages',
      message({ input_tokens: 1, output_tokens: 1, cache_read_input_tokens: -4 }),
      undefined,
      'corrupt:cacheRead',
    ],
    [
      'Gemini, text',
      'google-gemini',
      gemini({ promptTokenCount: '4', totalTokenCount: 4 }),
      undefined,
      'corrupt:prompt',
    ],
    [
      'Bedrock, a fraction',
      'bedrock-converse',
      { usage: { inputTokens: 0.5, outputTokens: 1 } },
      undefined,
      'corrupt:input',
    ],
    [
      'responses, negative',
      'openai-responses',
      responses({ input_tokens: 1, output_tokens: -1 }),
      undefined,
      'corrupt:output',
    ],
    [
      'Cohere, text',
      'cohere',
      { usage: { billed_units: { input_tokens: 'x', output_tokens: 1 } } },
      undefined,
      'corrupt:billedInput',
    ],
    ['Ollama, negative', 'ollama', { done: true, prompt_eval_count: -1, eval_count: 1 }, undefined, 'corrupt:prompt'],
  ])('%s', (_name, dialect, body, usage, note) => {
    const reading = readUsage(dialect, body);
    if (usage) expect(reading.usage).toMatchObject(usage);
    else expect(reading).toMatchObject({ usage: undefined, basis: undefined, complete: false });
    expect(reading.notes).toContain(note);
  });

  it('after a good one leaves no stale counts behind', () => {
    const reader = usageReader('openai-chat');
    reader.feed(chat({ prompt_tokens: 10, completion_tokens: 1, total_tokens: 11 }));
    reader.feed(chat({ prompt_tokens: 10, completion_tokens: -7, total_tokens: 11 }));
    expect(reader.read().usage).toBeUndefined();
    reader.feed(chat({ prompt_tokens: 10, completion_tokens: 9, total_tokens: 19 }));
    expect(reader.read().usage).toMatchObject({ inputTokens: 10, outputTokens: 9 });
  });

  it.each([null, {}, { prompt_tokens: null, completion_tokens: null }, [], 'x', 7])('%j is no block', (block) => {
    expect(readUsage('openai-chat', chat(block)).usage).toBeUndefined();
  });

  it('a total that fits nothing is reported, not thrown', () => {
    expect(readUsage('openai-chat', chat({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 3 }))).toMatchObject({
      usage: { inputTokens: 10, outputTokens: 5 },
      totalRule: 'mismatch',
      reportedTotalTokens: 3,
    });
  });

  it('of any kind never throws and never makes a vector that is not one', () => {
    const random = seededRandom(23);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
    const values = [
      null,
      -1,
      0,
      1,
      7.5,
      12,
      1e9,
      Number.MAX_SAFE_INTEGER,
      1e308,
      '12',
      true,
      [],
      {},
      [{ modality: 'AUDIO', tokenCount: -3 }],
      { cached_tokens: 4 },
      { audio_tokens: 1e9 },
    ];
    const keys =
      'prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details reasoning_tokens input_tokens output_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation iterations promptTokenCount candidatesTokenCount totalTokenCount thoughtsTokenCount promptTokensDetails inputTokens outputTokens totalTokens cacheReadInputTokens billed_units tokens prompt_audio_seconds type seconds service_tier'.split(
        ' ',
      );
    const dialects: Dialect[] = [
      'openai-chat',
      'openai-embeddings',
      'openai-responses',
      'anthropic-messages',
      'google-gemini',
      'google-interactions',
      'google-embeddings',
      'bedrock-converse',
      'cohere',
      'ollama',
      'llama-completion',
    ];
    // Mostly counts, so that most blocks have a vector to be wrong about.
    const value = (): unknown => (random() < 0.9 ? Math.floor(random() * 1_000) : pick<unknown>(values));
    const block = () => Object.fromEntries(keys.filter(() => random() < 0.7).map((key) => [key, value()]));
    let usages = 0;
    for (let n = 0; n < 4_000; n++) {
      const reader = usageReader(pick(dialects));
      for (let event = 0; event < 3; event++) {
        const usage = block();
        reader.feed(
          pick<unknown>([
            {
              usage,
              choices: pick<unknown>([
                null,
                [null],
                [{ delta: 5 }],
                [{ finish_reason: 'stop', message: { content: [null] } }],
              ]),
              timings: pick<unknown>(values),
            },
            {
              response: { usage, output: [null, 3, { type: 'web_search_call', action: 4 }] },
              type: 'response.completed',
            },
            { type: 'message_start', message: { usage, content: [null, { type: 'tool_use', input: 3 }] } },
            { type: 'message_delta', usage, delta: null },
            { usageMetadata: usage, candidates: pick<unknown>([null, [null], [{ content: { parts: [null] } }]]) },
            { metadata: { usage } },
            usage,
            null,
            [usage, [usage]],
          ]),
        );
      }
      const { usage } = reader.read();
      if (!usage) continue;
      usages++;
      for (const count of [
        usage.inputTokens,
        usage.cacheReadTokens,
        usage.outputTokens,
        usage.cacheWrite5mTokens,
        usage.cacheWrite1hTokens,
        usage.reasoningTokens ?? 0,
        ...Object.values(usage.units ?? {}),
      ])
        expect(Number.isInteger(count) && count >= 0, JSON.stringify(usage)).toBe(true);
      expect(usage.reasoningTokens ?? 0).toBeLessThanOrEqual(usage.outputTokens);
      expect(totalTokensOf(usage)).toBeGreaterThanOrEqual(0);
    }
    expect(usages).toBeGreaterThan(400);
  });
});

describe('an event that is damaged', () => {
  const body =
    '{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}';
  it('only in its last brace is read, since everything inside it is whole', () => {
    const reader = usageReader('openai-chat');
    reader.feedText(body.slice(0, -1));
    expect(reader.read().usage).toMatchObject({ inputTokens: 10, outputTokens: 5 });
  });

  it('anywhere before is no event, so that no count is read in half', () => {
    for (let end = 1; end < body.length - 1; end++) {
      const reader = usageReader('openai-chat');
      reader.feedText(body.slice(0, end));
      expect(reader.read().usage, body.slice(0, end)).toBeUndefined();
    }
  });
});
