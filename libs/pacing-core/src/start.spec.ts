import { InvariantError, seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { bestAt, type LoggedRequest } from './logged-requests.js';
import { ABSOLUTE_MIN, priceBounds } from './price-bounds.js';
import { beginShadowPrice, COLD_START_LAMBDA } from './shadow-price.js';
import { tick } from './tick.js';
import { WARM_START_REQUESTS, warmStart } from './warm-start.js';

/** A cheap and a dear candidate; the dear one is worth its money up to a price that differs by request. */
function log(count: number, budgets: (index: number) => string[] = () => ['org']): LoggedRequest[] {
  const random = seededRandom(3);
  return Array.from({ length: count }, (_, index) => ({
    budgets: budgets(index),
    candidates: [
      { valueUsd: 0.5, expectedUsd: 0.001 },
      { valueUsd: 0.5 + 2 * random(), expectedUsd: 0.021 },
    ],
  }));
}

const costAt = (requests: readonly LoggedRequest[], lambda: number): number =>
  requests.reduce((sum, r) => sum + bestAt(r.candidates, lambda).expectedUsd, 0) / requests.length;

describe('a warm start', () => {
  it('is the least price at which the logged requests cost what is affordable', () => {
    const requests = log(2_000);
    const lambda = warmStart(requests, [{ budget: 'org', affordableUsdPerRequest: 0.006 }]).get('org')!;
    expect(costAt(requests, lambda)).toBeLessThanOrEqual(0.006);
    expect(costAt(requests, lambda * 0.99)).toBeGreaterThan(0.006);
  });

  it('reads the last 2,000 requests', () => {
    const old = log(5_000).map((r) => ({ ...r, candidates: [{ valueUsd: 9, expectedUsd: 100 }] }));
    const recent = log(WARM_START_REQUESTS);
    const budgets = [{ budget: 'org', affordableUsdPerRequest: 0.006 }];
    expect(warmStart([...old, ...recent], budgets)).toEqual(warmStart(recent, budgets));
  });

  it('is 0 where the money lasts without a price, and for a budget that nothing has matched', () => {
    const budgets = [
      { budget: 'org', affordableUsdPerRequest: 1 },
      { budget: 'new', affordableUsdPerRequest: 0 },
    ];
    expect([...warmStart(log(100), budgets).values()]).toEqual([0, 0]);
    expect(warmStart([], budgets).get('org')).toBe(0);
  });

  it('is the highest price where even the cheapest are too dear', () => {
    expect(warmStart(log(100), [{ budget: 'org', affordableUsdPerRequest: 0.0001 }]).get('org')).toBe(1e6);
  });

  it('adds along the path: a team pays for its own cap only what the organisation does not ask already', () => {
    const requests = log(2_000, (index) => ['org', index % 2 ? 'tight' : 'loose']);
    const prices = warmStart(requests, [
      { budget: 'org', affordableUsdPerRequest: 0.01 },
      { budget: 'tight', affordableUsdPerRequest: 0.004 },
      { budget: 'loose', affordableUsdPerRequest: 1 },
    ]);
    const [tight, loose] = ['tight', 'loose'].map((team) => requests.filter((r) => r.budgets.includes(team)));
    const org = prices.get('org')!;
    const tightCost = costAt(tight!, org + prices.get('tight')!);
    const looseCost = costAt(loose!, org + prices.get('loose')!);
    expect(prices.get('loose')).toBe(0);
    expect(tightCost).toBeLessThanOrEqual(0.004);
    expect(tightCost).toBeGreaterThan(0.0038);
    expect((tightCost + looseCost) / 2).toBeLessThanOrEqual(0.0101);
    expect((tightCost + looseCost) / 2).toBeGreaterThan(0.0095);
  });

  it('refuses what is no number', () => {
    expect(() => warmStart(log(1), [{ budget: 'org', affordableUsdPerRequest: NaN }])).toThrow(InvariantError);
  });
});

describe('the bounds of a price', () => {
  it('end where more than 99 % go to the cheapest: a higher price would change nothing', () => {
    const requests = log(2_000);
    const { max } = priceBounds(5, requests);
    const share = (lambda: number): number =>
      requests.filter((r) => bestAt(r.candidates, lambda).expectedUsd === 0.001).length / requests.length;
    expect(share(max)).toBeGreaterThan(0.99);
  });

  it('end no lower where a few requests cost most of the money: all together cost within 2 % of the cheapest', () => {
    const dear = { valueUsd: 500, expectedUsd: 1 };
    const requests = log(2_000).map((r, index) =>
      index % 250 === 0 ? { ...r, candidates: [...r.candidates, { ...dear, valueUsd: 500 + index }] } : r,
    );
    const { max } = priceBounds(5, requests);
    expect(costAt(requests, max)).toBeLessThanOrEqual(0.001 * 1.02);
    expect(max).toBeLessThan(1e4);
  });

  it('end with headroom for what was not logged, and no further', () => {
    const requests = log(2_000);
    const { max } = priceBounds(0, requests);
    expect(costAt(requests, max / 4.01)).toBeGreaterThan(0.001 * 1.015);
    expect(costAt(requests, max / 3.99)).toBeLessThanOrEqual(0.001 * 1.02);
  });

  it('begin at a thousandth of the start value', () => {
    expect(priceBounds(80, log(10)).min).toBeCloseTo(0.08, 12);
  });

  it('begin at an absolute value on a cold start, so that a price can always rise again', () => {
    expect(priceBounds(0, []).min).toBe(ABSOLUTE_MIN);
    expect(priceBounds(0, log(10)).min).toBe(ABSOLUTE_MIN);
  });

  it('are in order and finite where there is one candidate only, or one that is free', () => {
    const single: LoggedRequest[] = [{ budgets: ['org'], candidates: [{ valueUsd: 1, expectedUsd: 1 }] }];
    const free: LoggedRequest[] = [
      {
        budgets: ['org'],
        candidates: [
          { valueUsd: 0.1, expectedUsd: 0 },
          { valueUsd: 1, expectedUsd: 1e-12 },
        ],
      },
    ];
    for (const requests of [single, free]) {
      const { min, max } = priceBounds(0, requests);
      expect(min).toBeLessThan(max);
      expect(max).toBeLessThanOrEqual(1e6);
    }
  });
});

describe('a cold start', () => {
  const window = { id: 'total', startMs: null, endMs: null };

  it('has a price and an absolute least one without any log', () => {
    const price = beginShadowPrice({ window }, 0);
    expect(price).toMatchObject({ lambda: COLD_START_LAMBDA, published: COLD_START_LAMBDA, bounds: { min: 1e-3 } });
  });

  it('rises from its least price within some hundred requests, though it was at rest', () => {
    let price = beginShadowPrice({ window, lambda: 0 }, 0);
    expect(price.lambda).toBe(ABSOLUTE_MIN);
    for (let ticks = 0; ticks < 20; ticks++) {
      price = { ...price, open: { requests: 50, expectedUsd: 500, correctionUsd: 0 } };
      price = tick(
        price,
        {
          limitNanos: 10_000_000_000n,
          spentNanos: 0n,
          inFlightUsd: 0,
          forecastRequests: 50,
          forecastRequestsToEnd: 1_000,
        },
        0,
      ).price;
    }
    expect(price.lambda).toBeGreaterThan(5);
  });

  it('refuses bounds that are not in order', () => {
    expect(() => beginShadowPrice({ window, bounds: { min: 0, max: 1 } }, 0)).toThrow(InvariantError);
    expect(() => beginShadowPrice({ window, bounds: { min: 1, max: Infinity } }, 0)).toThrow(InvariantError);
    expect(() => beginShadowPrice({ window, lambda: NaN }, 0)).toThrow(InvariantError);
  });
});
