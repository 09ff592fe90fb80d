import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { isLogDue, learned, withLog } from './learning.js';
import { bestAt, type LoggedRequest } from './logged-requests.js';
import { beginShadowPrice, type ShadowPrice } from './shadow-price.js';
import { tick } from './tick.js';

const WINDOW = { id: 'w', startMs: 0, endMs: 86_400_000 };

/** @param worth of the dear answer at most, USD; it costs $0.02 more. */
function log(count: number, worth = 2): LoggedRequest[] {
  const random = seededRandom(3);
  return Array.from({ length: count }, () => ({
    budgets: ['org'],
    candidates: [
      { valueUsd: 0.5, expectedUsd: 0.001 },
      { valueUsd: 0.5 + worth * random(), expectedUsd: 0.021 },
    ],
  }));
}

function opened(price: ShadowPrice, requests: number): ShadowPrice {
  return { ...price, open: { requests, expectedUsd: requests * 0.004, correctionUsd: 0 } };
}

function ticked(price: ShadowPrice, requests: number): ShadowPrice {
  const reading = { limitNanos: 10n ** 10n, spentNanos: 0n, inFlightUsd: 0, forecastRequests: requests };
  return tick(opened(price, requests), { ...reading, forecastRequestsToEnd: 1_000 }, 0).price;
}

describe('a log', () => {
  it('is due at the first tick of a price that knows none, and when as many requests came as its curve was drawn from', () => {
    const cold = beginShadowPrice({ window: WINDOW }, 0);
    expect([29, 30].map((requests) => isLogDue(opened(cold, requests)))).toEqual([false, true]);
    const drawn = withLog(opened(cold, 30), log(100));
    expect(drawn.curve!.requests).toBe(100);
    expect(isLogDue(opened(drawn, 99))).toBe(false);
    expect(isLogDue(opened(ticked(drawn, 60), 39))).toBe(false);
    expect(isLogDue(opened(ticked(drawn, 60), 40))).toBe(true);
    expect(isLogDue(opened(withLog(ticked(drawn, 60), log(200)), 199))).toBe(false);
  });

  it('of fewer than a tick says nothing', () => {
    const cold = beginShadowPrice({ window: WINDOW }, 0);
    expect(withLog(cold, log(29))).toBe(cold);
  });

  it('moves the bounds to where its candidates are, with the price in them; routers are told by the tick that follows', () => {
    const price = beginShadowPrice({ window: WINDOW, ...learned(log(500), 50) }, 0);
    const newer = withLog(price, log(500, 0.2));
    expect(newer.bounds.max).toBeLessThan(price.bounds.max / 5);
    expect(newer.bounds.max).toBeLessThan(50);
    expect(newer).toMatchObject({ lambda: newer.bounds.max, published: 50 });
    expect(ticked(newer, 50).published).toBeLessThan(50);
  });

  it('leaves a price of nothing left at its highest, and knows whereto it goes back', () => {
    const price = beginShadowPrice({ window: WINDOW, ...learned(log(500), 5) }, 0);
    const exhausted = { ...price, lambda: price.bounds.max, beforeExhaustion: 5 };
    const newer = withLog(exhausted, log(500, 8));
    expect(newer).toMatchObject({ lambda: newer.bounds.max, beforeExhaustion: 5 });
    expect(newer.bounds.max).toBeGreaterThan(price.bounds.max);
  });

  it('has its highest price where the cheapest are taken, however high the price that was sought', () => {
    const { lambda, bounds } = learned(log(500), 1e6);
    expect(lambda).toBe(bounds.max);
    for (const { candidates } of log(500)) expect(bestAt(candidates, lambda).expectedUsd).toBe(0.001);
  });
});
