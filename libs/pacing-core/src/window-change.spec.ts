import { InvariantError } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { beginShadowPrice, type PacedWindow, type ShadowPrice } from './shadow-price.js';
import { tick, type BudgetReading } from './tick.js';
import { beginWindow } from './window-change.js';

const HOUR = 3_600_000;
const day = (index: number): PacedWindow => ({
  id: `day-${index}`,
  startMs: index * 24 * HOUR,
  endMs: (index + 1) * 24 * HOUR,
});
const BOUNDS = { min: 0.01, max: 1_000 };
const READING: BudgetReading = {
  limitNanos: 100_000_000_000n,
  spentNanos: 0n,
  inFlightUsd: 0,
  forecastRequests: 50,
  forecastRequestsToEnd: 1_000,
};

/** A price that was `lambda(hour)` through a day. */
function afterADay(lambda: (hour: number) => number): ShadowPrice {
  let price = beginShadowPrice({ window: day(0), lambda: lambda(0), bounds: BOUNDS }, 0);
  for (let hour = 0; hour < 24; hour++) {
    // Spends what lasts, so the tick leaves the price where it is.
    const open = { requests: 50, expectedUsd: (50 * 99.25) / 1_000, correctionUsd: 0 };
    price = tick({ ...price, lambda: lambda(hour), open }, READING, hour * HOUR).price;
  }
  return price;
}

describe('a new window', () => {
  it('begins with the mean price of the previous one, not with that of its end', () => {
    const next = beginWindow(
      afterADay((hour) => (hour < 12 ? 5 : 80)),
      day(1),
    );
    expect(next.lambda).toBeCloseTo(20, 0);
    expect(next.published).toBe(next.lambda);
    expect(beginWindow(next, day(2)).lambda).toBe(next.lambda);
  });

  it('is not priced by the exhaustion of the one before', () => {
    const exhausted = tick(
      afterADay(() => 5),
      { ...READING, spentNanos: READING.limitNanos },
      23.5 * HOUR,
    ).price;
    expect(exhausted.lambda).toBe(BOUNDS.max);
    expect(beginWindow(exhausted, day(1))).toMatchObject({ beforeExhaustion: null });
    expect(beginWindow(exhausted, day(1)).lambda).toBeCloseTo(5, 1);
  });

  it('goes on with the last price where no tick was made', () => {
    const quiet = beginShadowPrice({ window: day(0), lambda: 7, bounds: BOUNDS }, 0);
    expect(beginWindow(quiet, day(1)).lambda).toBe(7);
    const exhausted = tick(quiet, { ...READING, spentNanos: READING.limitNanos }, 0).price;
    expect(beginWindow(exhausted, day(1)).lambda).toBe(7);
    expect(beginWindow(quiet, { id: 'total', startMs: null, endMs: null }).lambda).toBe(7);
  });

  it('has a thousandth of its start value as the least', () => {
    const price = afterADay(() => 50);
    expect(beginWindow(price, day(1)).bounds.min).toBeCloseTo(0.05, 6);
  });

  it('keeps what is known of demand and what was counted', () => {
    const price = { ...afterADay(() => 5), open: { requests: 20, expectedUsd: 1, correctionUsd: 0.5 } };
    const next = beginWindow(price, day(1));
    expect(next.demand).toEqual(price.demand);
    expect(next.open).toEqual(price.open);
  });

  it('begins once', () => {
    expect(() =>
      beginWindow(
        afterADay(() => 5),
        day(0),
      ),
    ).toThrow(InvariantError);
  });
});
