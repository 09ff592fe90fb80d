import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { earnHedge, emptyHedgeBudget, returnHedge, spendHedge, type HedgeLimits } from './hedge-budget.js';
import { earnRetry, fullRetryBudget, RETRY_LIMITS, spendRetry } from './retry-budget.js';

describe('the retry budget', () => {
  it('lets at most a tenth of requests be retried, beyond its reserve, however many fail', () => {
    const random = seededRandom(5);
    let budget = fullRetryBudget();
    let retries = 0;
    for (let request = 1; request <= 5_000; request++) {
      budget = earnRetry(budget);
      for (let failed = 0; failed < Math.floor(random() * 4); failed++) {
        const left = spendRetry(budget);
        if (!left) break;
        [budget, retries] = [left, retries + 1];
      }
      expect(retries).toBeLessThanOrEqual(RETRY_LIMITS.reserve + request * RETRY_LIMITS.shareOfRequests + 1e-6);
    }
    expect(retries).toBeGreaterThan(500);
  });

  it('retries the first failures of a quiet service, and the tenth request earns one again', () => {
    let budget = fullRetryBudget();
    for (let i = 0; i < 10; i++) budget = spendRetry(budget)!;
    expect(spendRetry(budget)).toBeUndefined();
    for (let i = 0; i < 9; i++) budget = earnRetry(budget);
    expect(spendRetry(budget)).toBeUndefined();
    expect(spendRetry(earnRetry(budget))).toBeDefined();
  });

  it('saves no more than its reserve', () => {
    let budget = fullRetryBudget();
    for (let i = 0; i < 1_000; i++) budget = earnRetry(budget);
    expect(budget.retries).toBe(RETRY_LIMITS.reserve);
    expect(() => fullRetryBudget({ shareOfRequests: -1, reserve: 1 })).toThrow();
  });
});

describe('the hedge budget', () => {
  const limits: HedgeLimits = { shareOfRequests: 0.05, reserve: 3, usdPerHour: 0.36 };

  it('limits hedges by share and by money, whichever is less', () => {
    let budget = emptyHedgeBudget(0, limits);
    let [hedges, usd] = [0, 0];
    for (let request = 1; request <= 20_000; request++) {
      const nowMs = request * 50;
      budget = earnHedge(budget, nowMs, limits);
      const expectedUsd = request < 10_000 ? 0 : 0.002;
      const left = spendHedge(budget, expectedUsd);
      if (left) [budget, hedges, usd] = [left, hedges + 1, usd + expectedUsd];
      expect(hedges).toBeLessThanOrEqual(limits.shareOfRequests * request + 1e-6);
      expect(usd).toBeLessThanOrEqual((limits.usdPerHour * nowMs) / 3_600_000 + 1e-9);
    }
    // 500 of the first half by share; of the second as many as $0.10 pay for: 50 saved up and earned.
    expect(hedges).toBeGreaterThan(530);
    expect(hedges).toBeLessThan(560);
  });

  it('takes back a hedge that was not sent, and never more than it may save up', () => {
    const budget = { hedges: 2, usd: 0.3, atMs: 0 };
    expect(returnHedge(spendHedge(budget, 0.25)!, 0.25, limits)).toEqual(budget);
    expect(returnHedge(budget, 0.25, limits)).toEqual({ hedges: 3, usd: 0.36, atMs: 0 });
  });

  it('refuses a cost that is none, and a clock that goes back earns nothing', () => {
    const budget = { hedges: 2, usd: 1, atMs: 10_000 };
    expect(spendHedge(budget, Number.NaN)).toBeUndefined();
    expect(spendHedge(budget, -1)).toBeUndefined();
    expect(earnHedge(budget, 5_000, { ...limits, usdPerHour: 2 })).toMatchObject({ usd: 1, atMs: 10_000 });
    expect(spendHedge(budget, 0.25)).toEqual({ hedges: 1, usd: 0.75, atMs: 10_000 });
  });
});
