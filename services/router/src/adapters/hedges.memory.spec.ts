import { describe, expect, it } from 'vitest';
import { ManualClock } from '@meritorder/kernel';
import { HedgeTokens } from './hedges.memory.js';

const scope = { route: 'auto', tier: null, limits: { requestShare: 0.05, usdPerHour: '36' } };

describe("a router's hedges", () => {
  it('are at most their share of the requests, each route and tier by its own', () => {
    const clock = new ManualClock(0);
    const hedges = new HedgeTokens(clock);
    const gold = { ...scope, tier: 'gold', limits: { ...scope.limits, requestShare: 0.5 } };
    let [sent, sentGold] = [0, 0];
    for (let request = 1; request <= 1_000; request++) {
      clock.advance(100);
      hedges.earn(scope);
      hedges.earn(gold);
      if (hedges.spend(scope, 0.001)) sent++;
      if (hedges.spend(gold, 0)) sentGold++;
      expect(sent).toBeLessThanOrEqual(0.05 * request + 1e-6);
    }
    expect([sent, sentGold]).toEqual([50, 500]);
  });

  it('are at most what may be spent on them, and what was not sent is given back', () => {
    const clock = new ManualClock(0);
    const hedges = new HedgeTokens(clock);
    for (let request = 0; request < 40; request++) hedges.earn(scope);
    expect(hedges.spend(scope, 0.01)).toBe(false);
    clock.advance(1_000);
    hedges.earn(scope);
    // 36 dollars an hour are a cent a second.
    expect(hedges.spend(scope, 0.01)).toBe(true);
    expect(hedges.spend(scope, 0.01)).toBe(false);
    hedges.giveBack(scope, 0.01);
    expect(hedges.spend(scope, 0.01)).toBe(true);
  });
});
