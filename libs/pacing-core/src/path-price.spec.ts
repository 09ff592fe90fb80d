import { InvariantError } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { pathPrice, pricedCostUsd } from './path-price.js';

describe('the price along a path', () => {
  it('is the sum of the prices of all budgets that a request matches', () => {
    const price = pathPrice([
      { basis: 'cash', lambda: 0.9 },
      { basis: 'cash', lambda: 0.6 },
      { basis: 'full', lambda: 2 },
    ]);
    expect(price).toEqual({ cash: 1.5, full: 2 });
    expect(pathPrice([])).toEqual({ cash: 0, full: 0 });
  });

  it('never keeps local capacity from work because cash is spent', () => {
    const dear = pathPrice([{ basis: 'cash', lambda: 1e6 }]);
    expect(pricedCostUsd({ marginalUsd: 0.0004, cashUsd: 0, fullUsd: 0.002 }, dear)).toBe(0.0004);
  });

  it('local at $0.0004 wins over .05 more quality at $0.40 a point for $0.0124 when a dollar counts 1.9', () => {
    const price = pathPrice([{ basis: 'cash', lambda: 0.9 }]);
    const net = (quality: number, usd: number): number =>
      quality * 0.4 - pricedCostUsd({ marginalUsd: usd, cashUsd: usd, fullUsd: usd }, price);
    expect(net(0.82, 0.0004)).toBeGreaterThan(net(0.87, 0.0124));
    expect(1.9 * (0.0124 - 0.0004)).toBeCloseTo(0.0228, 12);
  });

  it('a price that is not finite, or below 0, is a broken invariant', () => {
    expect(() => pathPrice([{ basis: 'cash', lambda: NaN }])).toThrow(InvariantError);
    expect(() => pathPrice([{ basis: 'cash', lambda: -1 }])).toThrow(InvariantError);
  });
});
