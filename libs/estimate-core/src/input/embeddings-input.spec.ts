import { describe, expect, it } from 'vitest';
import type { EmbeddingsRequest } from '@meritorder/contracts';
import { emptyLearned } from '../learned/learned.js';
import { forecastRequest, type ForecastBackend } from '../learned/forecast-request.js';
import { embeddingsPartsOf } from './input-parts.js';

const backend: ForecastBackend = {
  id: 'e',
  kind: 'cloud',
  provider: 'openai',
  model: 'text-embedding-3-small',
  templateTokensPerMessage: 2,
  maxOutputTokens: 1,
};
const learned = emptyLearned({ tokenizerOf: () => undefined, sharesLearning: () => false });
const forecast = (input: EmbeddingsRequest['input'], more: object = {}) =>
  forecastRequest(
    learned,
    {
      body: { model: 'e', messages: [{ role: 'user', content: '' }], max_tokens: 0 },
      embeddings: { model: 'e', input, ...more },
      org: 'acme',
      route: 'e',
    },
    0,
  ).of(backend);

/** Around each input, and around all of them. */
const AROUND = (inputs: number): number => inputs * 2 + 16;

describe('the input of embeddings', () => {
  it.each<[string, EmbeddingsRequest['input'], number, number]>([
    ['a text: its bytes', 'größe', 1, 7],
    ['texts: the bytes of all', ['ab', 'cde'], 2, 5],
    ['token numbers: as many as there are', [1, 100_000, 7], 1, 3],
    ['lists of token numbers', [[1, 2], [3], [4, 5, 6]], 3, 6],
  ])('is bounded by %s', (_name, input, inputs, tokens) => {
    expect(forecast(input).inputTokensBound).toBe(tokens + AROUND(inputs));
  });

  it('a field that nobody knows is bounded by its bytes', () => {
    const more = { instruction: 'find it' };
    const before = forecast('ab').inputTokensBound!;
    expect(forecast('ab', more).inputTokensBound! - before).toBe(JSON.stringify(more).length);
    expect(embeddingsPartsOf({ model: 'e', input: 'a', dimensions: 8, encoding_format: 'base64' }).unknownBytes).toBe(
      0,
    );
  });

  it('is expected within its bound, and token numbers close to what they are', () => {
    const tokens = Array.from({ length: 1_000 }, (_, i) => i);
    const { inputTokensExpected, inputTokensBound, inputTokensUpper } = forecast(tokens);
    expect(inputTokensExpected).toBeGreaterThanOrEqual(1_000);
    expect(inputTokensExpected).toBeLessThanOrEqual(inputTokensUpper);
    expect(inputTokensUpper).toBeLessThanOrEqual(inputTokensBound!);
  });

  it.each<[string, EmbeddingsRequest['input'], number]>([
    ['one text', 'word '.repeat(100), 1],
    ['texts alike', Array.from({ length: 100 }, () => 'word '.repeat(100)), 1 / 100],
    ['texts of which one is long', ['word '.repeat(300), ...Array.from({ length: 70 }, () => 'word '.repeat(10))], 0.3],
    ['token numbers', [1, 2, 3, 4], 1],
    ['lists of token numbers', [[1, 2, 3], [4]], 3 / 4],
  ])('needs as much context as the largest of the inputs: %s', (_name, input, share) => {
    const { inputTokensExpected, contextTokensExpected } = forecast(input);
    expect(contextTokensExpected).toBe(Math.ceil(inputTokensExpected * share));
  });

  it('has no output and no prompt cache', () => {
    const text = 'word '.repeat(5_000);
    expect(forecast(text)).toMatchObject({
      maxTokens: 0,
      outputTokensExpected: 0,
      outputTokensP99: 0,
      cacheReadTokensExpected: 0,
      cacheWriteTokensExpected: 0,
    });
  });
});
