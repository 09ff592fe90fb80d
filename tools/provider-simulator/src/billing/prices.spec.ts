import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../config.js';
import { chargeNanos, nanosToUsd, picosPerRequest, picosPerToken, roundHalfEven } from './prices.js';

describe('prices', () => {
  it.each([
    ['0.15', 150_000n],
    ['10', 10_000_000n],
    ['0', 0n],
    ['0.000001', 1n],
    ['3.125', 3_125_000n],
  ])('%s USD per 1M tokens is exactly %i pico-USD per token', (text, picos) => {
    expect(picosPerToken(text)).toBe(picos);
  });

  it.each(['0.0000001', '1.0000000', '-1', '1e3', '', '.5', '1.', 'free', ' 1'])('refuses %j', (text) => {
    expect(() => picosPerToken(text)).toThrow(RangeError);
  });

  it('takes a price per request to the pico-USD', () => {
    expect(picosPerRequest('0.000000000001')).toBe(1n);
    expect(() => picosPerRequest('0.0000000000001')).toThrow(RangeError);
  });

  it.each([
    [0n, 0n],
    [499n, 0n],
    [500n, 0n],
    [501n, 1n],
    [1_499n, 1n],
    [1_500n, 2n],
    [2_500n, 2n],
    [2_501n, 3n],
  ])('%i pico-USD round to %i nano-USD: a half goes to the even neighbour', (picos, nanos) => {
    expect(roundHalfEven(picos)).toBe(nanos);
  });

  it('rounds a call once, not each part of it', () => {
    const prices = { input: 500n, cachedInput: 500n, cacheWrite: 500n, output: 500n, perRequest: 500n };
    const usage = { inputTokens: 1, cachedInputTokens: 1, cacheWriteTokens: 1, outputTokens: 1 };
    expect(chargeNanos(usage, prices)).toBe(2n); // 2,500 pico-USD; part by part it would be 0
  });

  it('writes USD with nine decimals', () => {
    expect(nanosToUsd(412_000n)).toBe('0.000412000');
    expect(nanosToUsd(12_000_000_001n)).toBe('12.000000001');
    expect(nanosToUsd(0n)).toBe('0.000000000');
  });
});

describe('configuration', () => {
  const one = (model: object) => resolveConfig({ models: { m: model } }).models['m']!;

  it('prices what is left out as input; zero must be written', () => {
    expect(one({ prices: { input: '2', output: '8' } }).prices).toEqual({
      input: 2_000_000n,
      cachedInput: 2_000_000n,
      cacheWrite: 2_000_000n,
      output: 8_000_000n,
      perRequest: 0n,
    });
  });

  it.each([
    [{ prices: { output: '1' } }, /prices/],
    [{ prices: { input: '1' } }, /needs an output price/],
    [{ prices: { input: 0.4, output: '1' } }, /quoted decimal/],
    [{ prices: { input: '0.0000001', output: '1' } }, /more than 6 decimals/],
    [{ prices: { input: '1', output: '1' }, errorRat: 1 }, /errorRat/],
    [{ prices: { input: '1', output: '1' }, errorStatuses: [404] }, /errorStatuses/],
  ])('refuses %j and says why', (model, reason) => {
    expect(() => one(model)).toThrow(reason);
  });
});
