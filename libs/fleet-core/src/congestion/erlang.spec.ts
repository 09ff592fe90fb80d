import { describe, expect, it } from 'vitest';
import { erlangB, erlangC, meanWaitSeconds } from './erlang.js';

/** The sum that the formula stands for, as exact fractions of whole numbers. */
function exactErlangC(servers: number, offered: number): number {
  const scale = 10n ** 40n;
  let term = scale;
  let sum = 0n;
  for (let n = 0; n < servers; n++) {
    sum += term;
    term = (term * BigInt(offered)) / BigInt(n + 1);
  }
  const waiting = (term * BigInt(servers)) / BigInt(servers - offered);
  return Number((waiting * 10n ** 18n) / (sum + waiting)) / 1e18;
}

describe('Erlang', () => {
  it.each([
    [1, 0.5, 0.5],
    [2, 1, 1 / 3],
  ])('%i servers at an offered load of %d: an arrival waits with chance %d', (servers, offered, chance) => {
    expect(erlangC(servers, offered)).toBeCloseTo(chance, 14);
  });

  it.each([
    [3, 2],
    [24, 20],
    [100, 97],
    [400, 350],
  ])('agrees with the sum in exact fractions: %i servers, load %i', (servers, offered) => {
    expect(erlangC(servers, offered) / exactErlangC(servers, offered)).toBeCloseTo(1, 11);
  });

  it('is finite, and rises with load, up to 10,000 servers', () => {
    const chances = [0, 1, 5_000, 9_800, 9_990, 9_999.9].map((offered) => erlangC(10_000, offered));
    expect(chances.every((c, i) => c >= 0 && c <= 1 && (i === 0 || c >= chances[i - 1]!))).toBe(true);
    // Halfin and Whitt (1981): with k = a + b sqrt(a) the chance nears 1 / (1 + b Phi(b) / phi(b)); b = 1 gives .2234.
    expect(erlangC(10_000, 9_900.5)).toBeCloseTo(0.2234, 2);
    expect(erlangB(0, 3)).toBe(1);
  });

  it('says that an overloaded queue waits without end', () => {
    expect(erlangC(4, 4)).toBe(1);
    expect(meanWaitSeconds(4, 4, 1)).toBe(Infinity);
    expect(meanWaitSeconds(1, 0.5, 2)).toBeCloseTo(2, 12);
  });

  it.each([
    [-1, 1],
    [1.5, 1],
    [10_001, 1],
    [1, -1],
    [1, Number.NaN],
    [1, Infinity],
  ])('refuses %d servers at load %d', (servers, offered) => {
    expect(() => erlangC(servers, offered)).toThrow();
  });
});
