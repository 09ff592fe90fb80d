import { InvariantError } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { countDearness, dearness } from './dearness.js';
import { foresight } from './foresight.js';
import { costAt, priceFor, spendingCurve, type SpendingCurve } from './spending-curve.js';

/** By what a request costs at a price, from 1 to 4,000. */
const curve = (usdAt: (lambda: number) => number): SpendingCurve => ({
  requests: 2_000,
  min: 1,
  max: 4_000,
  usdPerRequest: Array.from({ length: 49 }, (_, i) => usdAt(4_000 ** (i / 48))),
});
/** The cheapest cost 1, and from a price of 1,000 nothing else is bought; a dollar is worth far less to whoever has many. */
const saturated = curve((lambda) => 1 + 9 * Math.sqrt(Math.max(0, 1 - lambda / 1_000)));

describe('a spending curve', () => {
  const log = Array.from({ length: 200 }, (_, index) => ({
    budgets: ['org'],
    candidates: [
      { valueUsd: 1, expectedUsd: 0.001 },
      { valueUsd: 1 + (index + 1) / 100, expectedUsd: 0.011 },
    ],
  }));

  it('is what logged requests cost at each price, falls, and is led back to the price', () => {
    const drawn = spendingCurve(log, { min: 0.1, max: 1_000 })!;
    expect(drawn.usdPerRequest).toEqual(drawn.usdPerRequest.toSorted((a, b) => b - a));
    expect(drawn.usdPerRequest[0]).toBeCloseTo(0.011, 3);
    expect(drawn.usdPerRequest.at(-1)).toBe(0.001);
    for (const lambda of [5, 50, 150]) {
      // A dear answer is taken where its gain of (index + 1) / 100 is more than (1 + lambda) x 0.01.
      const dear = log.filter((_, index) => index + 1 > 1 + lambda).length / log.length;
      expect(costAt(drawn, lambda) / (0.001 + 0.01 * dear)).toBeCloseTo(1, 1);
      expect(priceFor(drawn, costAt(drawn, lambda)) / lambda).toBeCloseTo(1, 6);
    }
  });

  it('ends where its prices end, and is not drawn of nothing', () => {
    const drawn = spendingCurve(log, { min: 0.1, max: 1_000 })!;
    expect(priceFor(drawn, 1)).toBe(0.1);
    expect(priceFor(drawn, 1e-9)).toBe(1_000);
    expect(costAt(drawn, 1e9)).toBe(0.001);
    expect(spendingCurve([], { min: 0.1, max: 1_000 })).toBeUndefined();
    expect(() => spendingCurve(log, { min: 1, max: 1 })).toThrow(InvariantError);
  });

  it('leads to answers that cost nothing', () => {
    const free = { requests: 1, min: 1, max: 100, usdPerRequest: [1, 0.5, 0] };
    expect(costAt(free, 100)).toBe(0);
    expect(priceFor(free, 0)).toBe(100);
    expect(priceFor(free, 0.25)).toBeLessThanOrEqual(100);
  });
});

describe('foresight', () => {
  it('spends ahead where money is worth little more to a surge and far less after a drop', () => {
    expect(foresight(saturated, 5, 30)).toBeGreaterThan(1.05);
    expect(foresight(saturated, 5, 30)).toBeLessThan(1.5);
  });

  it('buys the cheapest where a surge could leave less than these need', () => {
    expect(2 * foresight(saturated, 2, 30)).toBeCloseTo(1, 9);
  });

  it('looks less far the nearer the end of the window, and not at all at it', () => {
    const ahead = [30, 1, 0.1, 0.01].map((days) => foresight(saturated, 5, days));
    expect(ahead).toEqual(ahead.toSorted((a, b) => b - a));
    expect(foresight(saturated, 5, 0)).toBeCloseTo(1, 9);
    expect(foresight(saturated, 2, -1)).toBeCloseTo(1, 9);
  });

  it('changes nothing where the price does not matter, or nothing is affordable', () => {
    expect(
      foresight(
        curve(() => 2),
        2,
        30,
      ),
    ).toBe(1);
    expect(foresight(saturated, 1_000, 30)).toBeCloseTo(1, 9);
    expect(foresight(saturated, 0, 30)).toBe(1);
    expect(
      foresight(
        curve(() => 0),
        1,
        30,
      ),
    ).toBe(1);
    expect(() => foresight(saturated, NaN, 30)).toThrow(InvariantError);
  });
});

describe('dearness', () => {
  it('is what attempts come to over what was expected of them, learned over thousands of requests', () => {
    expect(dearness(undefined)).toBe(1);
    const tick = { requests: 50, expectedUsd: 1, correctionUsd: 0.2 };
    let counted = countDearness(undefined, tick);
    expect(dearness(counted)).toBeLessThan(1.03);
    for (let index = 0; index < 400; index++) counted = countDearness(counted, tick);
    expect(dearness(counted)).toBeCloseTo(1.2, 2);
  });

  it('stays between a half and twice, and is 1 where all was free', () => {
    const wild = (correctionUsd: number) => ({ requests: 1e6, expectedUsd: 1, correctionUsd });
    expect(dearness(countDearness(undefined, wild(50)))).toBe(2);
    expect(dearness(countDearness(undefined, wild(-5)))).toBe(0.5);
    expect(dearness(countDearness(undefined, { requests: 9, expectedUsd: 0, correctionUsd: 0 }))).toBe(1);
  });
});
