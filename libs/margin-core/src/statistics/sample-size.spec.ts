import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { normalAbove, normalTail } from './normal.js';
import { requestsPerArm, USUAL_CERTAINTY } from './sample-size.js';

describe('the normal distribution', () => {
  it.each([
    [0.5, 0],
    [0.025, 1.959964],
    [0.2, 0.841621],
    [0.8, -0.841621],
    [0.001, 3.090232],
  ])('is above z with a chance of %s at z = %s, and back', (tail, z) => {
    expect(normalAbove(tail)).toBeCloseTo(z, 4);
    expect(normalTail(z)).toBeCloseTo(tail, 6);
  });

  it('refuses a level that is none', () => {
    for (const bad of [0, 1, -1, Number.NaN]) expect(() => normalAbove(bad)).toThrow(/not within/);
  });
});

describe('requests per arm', () => {
  it('to see +0.3 points on 3 % are 53,211, about the 52,000 of economics section 4 (Lehr: 51,733)', () => {
    const needed = requestsPerArm(0.03, 0.033);
    expect(needed).toBe(53_211);
    expect(Math.abs(needed / 52_000 - 1)).toBeLessThan(0.03);
    expect((16 * 0.03 * 0.97) / 0.003 ** 2).toBeCloseTo(51_733, 0);
  });

  it('are the same from either side, more for a smaller difference, and without end for none', () => {
    expect(requestsPerArm(0.033, 0.03)).toBe(requestsPerArm(0.03, 0.033));
    expect(requestsPerArm(0.03, 0.0315)).toBeGreaterThan(3.8 * requestsPerArm(0.03, 0.033));
    expect(requestsPerArm(0.03, 0.03)).toBe(Infinity);
    expect(() => requestsPerArm(0.03, 1.1)).toThrow(/not within/);
  });

  it('see the difference with the power stated, and one that is not there as seldom as stated', () => {
    const random = seededRandom(5);
    const needed = requestsPerArm(0.1, 0.15);
    const drawn = (rate: number) => {
      let sum = 0;
      for (let i = 0; i < needed; i++) sum += random() < rate ? 1 : 0;
      return sum / needed;
    };
    const seen = (first: number, second: number) => {
      const [one, two] = [drawn(first), drawn(second)];
      const middle = (one + two) / 2;
      return Math.abs(one - two) > normalAbove(0.025) * Math.sqrt((2 * middle * (1 - middle)) / needed);
    };
    const share = (first: number, second: number) =>
      Array.from({ length: 1_000 }, () => seen(first, second)).filter(Boolean).length / 1_000;
    // Four standard errors of 1,000 runs.
    expect(Math.abs(share(0.1, 0.15) - USUAL_CERTAINTY.power)).toBeLessThan(0.05);
    expect(Math.abs(share(0.1, 0.1) - USUAL_CERTAINTY.alpha)).toBeLessThan(0.028);
  });
});
