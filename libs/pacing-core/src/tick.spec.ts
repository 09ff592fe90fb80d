import { seededRandom, InvariantError } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { beginShadowPrice, countRequest, countSettlement, type ShadowPrice } from './shadow-price.js';
import { BUFFER, tick, type BudgetReading } from './tick.js';

const DAY = 86_400_000;
const WINDOW = { id: '2026-11', startMs: 0, endMs: 30 * DAY };
const BOUNDS = { min: 0.01, max: 500 };

function priced(lambda = 10, requests = 0, expectedUsd = 0): ShadowPrice {
  let price = beginShadowPrice({ window: WINDOW, lambda, bounds: BOUNDS }, 0);
  for (let index = 0; index < requests; index++) price = countRequest(price, expectedUsd);
  return price;
}

/** $100 with nothing spent, and 10,000 requests to come: $0.009925 are affordable per request. */
const reading = (over: Partial<BudgetReading> = {}): BudgetReading => ({
  limitNanos: 100_000_000_000n,
  spentNanos: 0n,
  inFlightUsd: 0,
  forecastRequests: 50,
  forecastRequestsToEnd: 10_000,
  ...over,
});
const AFFORDABLE = (100 * (1 - BUFFER)) / 10_000;
/** The cheapest cost a quarter of what is affordable, and from a price of 1,000 nothing else is bought. */
const CURVE = {
  requests: 2_000,
  min: 1,
  max: 4_000,
  usdPerRequest: Array.from(
    { length: 49 },
    (_, i) => (AFFORDABLE / 4) * (1 + 9 * Math.sqrt(Math.max(0, 1 - 4_000 ** (i / 48) / 1_000))),
  ),
};

describe('a tick', () => {
  it('moves the price by exp(0.3 x min(1, n/50) x ln((s/n) / rho))', () => {
    const price = priced(10, 40, AFFORDABLE * 2);
    const { level } = tick(price, reading({ forecastRequests: 40 }), 0).change!;
    expect(level).toBe(1);
    expect(tick(price, reading({ forecastRequests: 40 }), 0).price.lambda).toBeCloseTo(
      10 * Math.exp(0.3 * 0.8 * Math.log(2)),
      9,
    );
  });

  it('leaves the price where spending is what lasts', () => {
    expect(tick(priced(10, 50, AFFORDABLE), reading(), 0).price.lambda).toBeCloseTo(10, 9);
  });

  it('says which way, from what, to what and why', () => {
    const { change } = tick(priced(10, 50, AFFORDABLE / 2), reading(), 0);
    expect(change).toMatchObject({ direction: 'relaxed', reason: 'spends-less-than-lasts', from: 10, level: 1 });
    expect(change!.to).toBeLessThan(10);
    expect(change!.spentUsdPerRequest).toBeCloseTo(AFFORDABLE / 2, 12);
    expect(change!.affordableUsdPerRequest).toBeCloseTo(AFFORDABLE, 12);
    expect(change!.remainingUsd).toBeCloseTo(99.25, 9);
  });

  it('waits for 30 requests and forgets none of them', () => {
    const early = tick(priced(10, 29, 1), reading(), 0);
    expect(early.price.lambda).toBe(10);
    expect(early.price.open.requests).toBe(29);
    const due = tick(countRequest(early.price, 1), reading(), 0);
    expect(due.price.lambda).toBeGreaterThan(10);
    expect(due.price.open).toEqual({ requests: 0, expectedUsd: 0, correctionUsd: 0 });
  });

  it('counts what attempts cost beyond what was expected in the tick that they settle in', () => {
    const exact = priced(10, 50, AFFORDABLE);
    const dearer = countSettlement(exact, { expectedUsd: 0.1, actualUsd: 0.4 });
    const same = priced(10, 50, AFFORDABLE + 0.3 / 50);
    expect(tick(dearer, reading(), 0).price.lambda).toBeCloseTo(tick(same, reading(), 0).price.lambda, 9);
  });

  it('is finite where corrections exceed what the tick spent, and clipped after the sum', () => {
    const price = countSettlement(priced(10, 50, AFFORDABLE), { expectedUsd: 5, actualUsd: 0 });
    expect(tick(price, reading(), 0).price.lambda).toBeCloseTo(10 * Math.exp(0.3 * -1.5), 9);
  });

  it('clips after aggregating: one dear request among cheap ones counts with its cost', () => {
    let price = priced(10, 49, AFFORDABLE / 10);
    price = countRequest(price, AFFORDABLE * 200);
    const spent = (49 * 0.1 + 200) / 50;
    expect(tick(price, reading(), 0).price.lambda).toBeCloseTo(10 * Math.exp(0.3 * Math.log(spent)), 9);
  });

  it('is at most a factor of exp(0.45), whatever the tick cost', () => {
    expect(tick(priced(10, 500, 1_000), reading(), 0).price.lambda).toBeCloseTo(10 * Math.exp(0.45), 9);
  });

  it('goes on where nothing is forecast any more: what remains is for one request', () => {
    const { price } = tick(priced(10, 50, 1), reading({ forecastRequestsToEnd: 0, forecastRequests: 0 }), 0);
    expect(price.lambda).toBeCloseTo(10 * Math.exp(0.3 * -1.5), 9);
  });

  it('never leaves its bounds', () => {
    expect(tick(priced(BOUNDS.max, 50, 1), reading(), 0).price.lambda).toBe(BOUNDS.max);
    expect(tick(priced(BOUNDS.min, 50, 0), reading(), 0).price.lambda).toBe(BOUNDS.min);
  });

  it('plans with a buffer, and not with what requests in flight are expected to cost', () => {
    const spent = { spentNanos: 40_000_000_000n };
    const idle = tick(priced(10, 50, 1), reading(spent), 0).change!;
    const busy = tick(priced(10, 50, 1), reading({ ...spent, inFlightUsd: 20 }), 0).change!;
    expect(idle.remainingUsd).toBeCloseTo(59.25, 9);
    expect(busy.remainingUsd).toBeCloseTo(39.25, 9);
    expect(busy.affordableUsdPerRequest).toBeLessThan(idle.affordableUsdPerRequest);
  });

  it('plans with the demand that is, not with the one that was forecast', () => {
    const surged = tick(priced(10, 5_000, AFFORDABLE), reading({ forecastRequests: 2_500 }), 0);
    expect(surged.change!.level).toBeGreaterThan(1.8);
    expect(surged.price.lambda).toBeGreaterThan(10);
  });

  it('aims ahead of what is affordable where its curve says so, and says that it does', () => {
    const aimed = tick({ ...priced(10, 50, AFFORDABLE / 4), curve: CURVE }, reading(), 0).change!;
    expect(aimed.affordableUsdPerRequest).toBeGreaterThan(AFFORDABLE * 1.05);
    const unknown = tick(priced(10, 50, AFFORDABLE / 4), reading(), 0).change!;
    expect(unknown.affordableUsdPerRequest).toBeCloseTo(AFFORDABLE, 12);
  });

  it('reads its curve by what the cheapest answers cost now, and by what attempts come to', () => {
    const spent = 5_000 * (AFFORDABLE / 16);
    const aim = (over: Partial<BudgetReading>, beyondUsd = 0): number => {
      const price = countSettlement(priced(10, 5_000, AFFORDABLE / 16), {
        expectedUsd: spent,
        actualUsd: spent + beyondUsd,
      });
      return tick({ ...price, curve: CURVE }, reading({ forecastRequests: 5_000, ...over }), 0).change!
        .affordableUsdPerRequest;
    };
    expect(aim({ cheapestUsdPerRequest: AFFORDABLE / 4 })).toBe(aim({}));
    // Where the cheapest need twice as much a surge could not be answered, so that it is saved for.
    expect(aim({ cheapestUsdPerRequest: AFFORDABLE / 2 })).toBeLessThan(AFFORDABLE);
    expect(aim({}, 3 * spent)).toBeLessThan(AFFORDABLE);
  });

  it('does not change what it is given', () => {
    const price = priced(10, 50, 1);
    const before = structuredClone(price);
    tick(price, reading(), 0);
    expect(price).toEqual(before);
  });

  it('a price that is not finite is a broken invariant, and so is a reading that is no number', () => {
    expect(() => tick({ ...priced(10, 50, 1), lambda: NaN }, reading(), 0)).toThrow(InvariantError);
    expect(() => tick(priced(), reading({ forecastRequestsToEnd: NaN }), 0)).toThrow(InvariantError);
    expect(() => tick(priced(), reading({ inFlightUsd: Infinity }), 0)).toThrow(InvariantError);
    expect(() => countRequest(priced(), NaN)).toThrow(InvariantError);
    expect(() => countSettlement(priced(), { expectedUsd: 0, actualUsd: NaN })).toThrow(InvariantError);
  });
});

describe('a budget with nothing left', () => {
  const empty = reading({ spentNanos: 99_500_000_000n });

  it('is at its highest price at once, without waiting for 30 requests', () => {
    const { price, change } = tick(priced(10, 1, 1), empty, 0);
    expect(price.lambda).toBe(BOUNDS.max);
    expect(price.published).toBe(BOUNDS.max);
    expect(change).toMatchObject({ direction: 'tightened', reason: 'exhausted', to: BOUNDS.max });
  });

  it('so does one whose rest is in flight', () => {
    expect(tick(priced(), reading({ inFlightUsd: 99.25 }), 0).price.lambda).toBe(BOUNDS.max);
  });

  it('stays there, and is told once', () => {
    const { price } = tick(priced(), empty, 0);
    const again = tick(countRequest(price, 0), empty, 0);
    expect(again).toMatchObject({ change: null, price: { lambda: BOUNDS.max, published: BOUNDS.max } });
  });

  it('goes on from where it was when there is room again', () => {
    const { price } = tick(priced(), empty, 0);
    const { price: next, change } = tick(countRequest(price, 0), reading(), 0);
    expect(next.lambda).toBe(10);
    expect(change).toMatchObject({ direction: 'relaxed', reason: 'room-again', to: 10 });
    expect(next.open.requests).toBe(0);
  });
});

describe('what routers are told', () => {
  it('stays while 1 + lambda is within 10 % of it, and follows when it is not', () => {
    const near = tick(priced(10, 50, AFFORDABLE * 1.2), reading(), 0);
    expect(near.change).toBeNull();
    expect(near.price).toMatchObject({ published: 10 });
    expect(near.price.lambda).toBeGreaterThan(10);
    const next = { ...near.price, open: { requests: 50, expectedUsd: 50 * AFFORDABLE * 1.5, correctionUsd: 0 } };
    const far = tick(next, reading(), 0);
    expect(far.change).toMatchObject({ from: 10, to: far.price.lambda });
    expect(far.price.published).toBe(far.price.lambda);
  });
});

describe('the state', () => {
  it('is JSON of bounded size that goes on the same after it was stored', () => {
    const random = seededRandom(7);
    let price = priced(10);
    let stored = price;
    let longest = 0;
    for (let step = 0; step < 3_000; step++) {
      const nowMs = (step / 3_000) * 30 * DAY;
      const requests = Math.floor(random() * 90);
      for (const cost of Array.from({ length: requests }, () => random() ** 8)) {
        price = countRequest(price, cost);
        stored = countRequest(stored, cost);
      }
      const settlement = { expectedUsd: random(), actualUsd: random() };
      const at = reading({
        spentNanos: BigInt(Math.floor(random() * 1.1e11)),
        inFlightUsd: random() * 3,
        forecastRequests: random() * 90,
        forecastRequestsToEnd: (3_000 - step) * 45,
      });
      price = tick(countSettlement(price, settlement), at, nowMs).price;
      const text = JSON.stringify(tick(countSettlement(stored, settlement), at, nowMs).price);
      longest = Math.max(longest, text.length);
      stored = JSON.parse(text) as ShadowPrice;
      expect(price.lambda).toBeGreaterThanOrEqual(BOUNDS.min);
      expect(price.lambda).toBeLessThanOrEqual(BOUNDS.max);
    }
    expect(stored).toEqual(price);
    expect(longest).toBeLessThan(2_000);
  });
});
