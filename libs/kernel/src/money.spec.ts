import { describe, expect, it } from 'vitest';
import {
  formatDecimal,
  nanosToUsd,
  parseDecimal,
  picosToNanosCeil,
  picosToNanosHalfEven,
  seededRandom,
  usdPerMillionToPicos,
  usdToNanos,
} from './index.js';

describe('money', () => {
  it.each([
    ['0.000412', 412_000n, '0.000412'],
    ['25', 25_000_000_000n, '25'],
    ['-1.5', -1_500_000_000n, '-1.5'],
    ['0', 0n, '0'],
    ['100', 100_000_000_000n, '100'],
    ['9007199.254740991', 9_007_199_254_740_991n, '9007199.254740991'],
  ])('%s USD is exactly %s nano-USD', (usd, nanos, text) => {
    expect(usdToNanos(usd)).toBe(nanos);
    expect(nanosToUsd(nanos)).toBe(text);
  });

  it.each(['', 'abc', '1e-5', '1,5', '.5', '0.1234567891', '$5', 'NaN', 'Infinity'])('refuses %j', (text) => {
    expect(() => usdToNanos(text)).toThrow(RangeError);
  });

  it('a price per 1M tokens becomes pico-USD per token without a rounding', () => {
    expect(usdPerMillionToPicos('0.15')).toBe(150_000n);
    expect(usdPerMillionToPicos('0.000001')).toBe(1n);
    expect(() => usdPerMillionToPicos('0.0000001')).toThrow(/more than 6/);
  });

  it.each([
    [500n, 0n],
    [1500n, 2n],
    [2500n, 2n],
    [2501n, 3n],
    [499n, 0n],
    [-500n, 0n],
    [-1500n, -2n],
  ])('%s pico rounds half to even to %s nano', (picos, nanos) => {
    expect(picosToNanosHalfEven(picos)).toBe(nanos);
  });

  it('a hold rounds up', () => {
    expect(picosToNanosCeil(1n)).toBe(1n);
    expect(picosToNanosCeil(1000n)).toBe(1n);
    expect(picosToNanosCeil(0n)).toBe(0n);
  });

  it('formatting and parsing are inverse for 10,000 random amounts', () => {
    const random = seededRandom(7);
    for (let i = 0; i < 10_000; i++) {
      const value = BigInt(Math.floor((random() - 0.5) * 2 ** 53));
      expect(parseDecimal(formatDecimal(value, 9), 9)).toBe(value);
      expect(usdToNanos(nanosToUsd(value))).toBe(value);
    }
  });
});
