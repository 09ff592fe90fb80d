import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { mostExploration } from './exploration-limit.js';
import { holdOutDraw, isHeldOut } from './hold-out.js';

describe('exploration', () => {
  it('costs at most 1 % of the segment’s revenue, whatever is explored', () => {
    const random = seededRandom(1);
    for (let i = 0; i < 2_000; i++) {
      const cost = {
        revenueUsd: 10 ** (-4 + 5 * random()),
        extraCostUsd: 10 ** (-5 + 4 * random()) * (random() < 0.3 ? -1 : 1),
        lostValueUsd: 10 ** (-4 + 4 * random()) * (random() < 0.3 ? -1 : 1),
      };
      const chance = mostExploration(cost);
      expect(chance >= 0 && chance <= 1).toBe(true);
      expect(chance * (cost.extraCostUsd + cost.lostValueUsd)).toBeLessThanOrEqual(
        0.01 * cost.revenueUsd * (1 + 1e-12),
      );
    }
  });

  it('is 1 in 20 where a request brings $0.10 and exploring loses $0.02', () => {
    expect(mostExploration({ revenueUsd: 0.1, extraCostUsd: 0.012, lostValueUsd: 0.008 })).toBeCloseTo(0.05, 12);
  });

  it('is free where it loses nothing, and forbidden where there is no revenue to pay for it', () => {
    expect(mostExploration({ revenueUsd: 0, extraCostUsd: -0.01, lostValueUsd: 0.005 })).toBe(1);
    expect(mostExploration({ revenueUsd: 0, extraCostUsd: 0.01, lostValueUsd: 0 })).toBe(0);
    expect(() => mostExploration({ revenueUsd: -1, extraCostUsd: 0, lostValueUsd: 0 })).toThrow(/at least 0/);
    expect(() => mostExploration({ revenueUsd: 1, extraCostUsd: Number.NaN, lostValueUsd: 0 })).toThrow(/finite/);
  });
});

describe('the hold-out group', () => {
  const customers = Array.from({ length: 20_000 }, (_, i) => `customer-${i}`);
  const held = (experiment: string, org = 'acme', share = 0.05) =>
    customers.filter((customer) => isHeldOut(experiment, org, customer, share));

  it('is the share stated, and the same customers every time', () => {
    const group = held('autumn');
    // Four standard errors.
    expect(Math.abs(group.length / customers.length - 0.05)).toBeLessThan(0.0062);
    expect(held('autumn')).toEqual(group);
    expect(holdOutDraw('autumn', 'acme', 'customer-1')).toBe(0.9373597606238022);
  });

  it('keeps its members when it grows, and shares no more than chance with another experiment or org', () => {
    const group = new Set(held('autumn'));
    const larger = new Set(held('autumn', 'acme', 0.1));
    expect([...group].every((customer) => larger.has(customer))).toBe(true);
    for (const other of [held('winter'), held('autumn', 'globex')])
      expect(other.filter((customer) => group.has(customer)).length / group.size).toBeLessThan(0.1);
  });

  it('is nobody at 0, everybody at 1, and tells names apart that only run together', () => {
    expect([held('autumn', 'acme', 0).length, held('autumn', 'acme', 1).length]).toEqual([0, customers.length]);
    expect(holdOutDraw('a', 'bc', 'd')).not.toBe(holdOutDraw('ab', 'c', 'd'));
    expect(() => isHeldOut('a', 'b', 'c', 2)).toThrow(/not within/);
  });
});
