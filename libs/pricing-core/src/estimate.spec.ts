import { describe, expect, it } from 'vitest';
import {
  charactersPerTokenFallback,
  costOfTokens,
  estimateRequestCost,
  outputTokensFallback,
  UnknownModelError,
} from './index.js';

const RATES = {
  'gpt-4-turbo': { provider: 'openai', inputUsdPer1k: '0.01', outputUsdPer1k: '0.03' },
  'claude-3-opus': { provider: 'anthropic', inputUsdPer1k: '0.015', outputUsdPer1k: '0.075' },
  'llama-3-70b': { provider: 'local', inputUsdPer1k: '0.0001', outputUsdPer1k: '0.0001' },
};

describe('the estimate of a request', () => {
  it.each([
    ['gpt-4-turbo', 'openai', '0.01', '0.015', '0.025'],
    ['claude-3-opus', 'anthropic', '0.015', '0.0375', '0.0525'],
    ['llama-3-70b', 'local', '0.0001', '0.00005', '0.00015'],
  ])('%s, 1,000 tokens in and 500 out', (model, provider, inputUsd, outputUsd, totalUsd) => {
    expect(costOfTokens(model, 1000, 500, RATES)).toEqual({
      provider,
      inputTokens: 1000,
      outputTokens: 500,
      inputUsd,
      outputUsd,
      totalUsd,
    });
  });

  it('uses the named fallbacks for text: len/4 and min(max, 500)', () => {
    expect(charactersPerTokenFallback('x'.repeat(4003))).toBe(1000);
    expect(outputTokensFallback(2000)).toBe(500);
    expect(outputTokensFallback(20)).toBe(20);
    expect(estimateRequestCost('gpt-4-turbo', 'x'.repeat(4000), 2000, RATES).totalUsd).toBe('0.025');
  });

  it('an unknown model is an error that names the known ones, never zero', () => {
    expect(() => costOfTokens('gpt-9', 1, 1, RATES)).toThrow(UnknownModelError);
    expect(() => costOfTokens('gpt-9', 1, 1, RATES)).toThrow(/gpt-4-turbo, claude-3-opus/);
    expect(() => costOfTokens('toString', 1, 1, RATES)).toThrow(UnknownModelError);
  });

  it('a default serves a model that is not in the table', () => {
    const withDefault = { ...RATES, default: RATES['llama-3-70b'] };
    expect(costOfTokens('gpt-9', 1000, 0, withDefault)).toMatchObject({ provider: 'local', totalUsd: '0.0001' });
  });

  it.each([-1, 1.5, Number.NaN, Infinity])('refuses %s tokens', (count) => {
    expect(() => costOfTokens('gpt-4-turbo', count, 1, RATES)).toThrow(RangeError);
  });
});
