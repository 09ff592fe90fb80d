import { InvariantError } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { beginShadowPrice } from './shadow-price.js';
import { isBeyondRoom, leastUsd, spareRoomNanos, type RoomReading } from './spare-room.js';

const price = beginShadowPrice({ window: { id: 'day', startMs: 0, endMs: 86_400_000 } }, 0);
const reading: RoomReading = {
  limitNanos: 1_000_000_000n,
  spentNanos: 500_000_000n,
  reservedNanos: 200_000_000n,
  forecastRequestsToEnd: 1_000,
  cheapestUsdPerRequest: 0.0001,
};

describe('the room for one attempt', () => {
  it('is what is left when all that is to come is answered by its cheapest candidate', () => {
    expect(spareRoomNanos(price, reading)).toBe(200_000_000n);
  });

  it('shrinks with demand above its forecast', () => {
    const surged = { ...price, demand: { atMs: 0, requests: 200, forecastRequests: 100 } };
    expect(spareRoomNanos(surged, reading)).toBe(100_000_000n);
  });

  it('is none, never less, where the rest is needed, and all of it where nothing more is to come', () => {
    expect(spareRoomNanos(price, { ...reading, forecastRequestsToEnd: 1e6 })).toBe(0n);
    expect(spareRoomNanos(price, { ...reading, forecastRequestsToEnd: 0 })).toBe(300_000_000n);
  });

  it('is rounded down, and is not made of what is no number', () => {
    expect(spareRoomNanos(price, { ...reading, cheapestUsdPerRequest: 0.0001 + 1e-13 })).toBe(199_999_999n);
    expect(() => spareRoomNanos(price, { ...reading, cheapestUsdPerRequest: NaN })).toThrow(InvariantError);
  });
});

describe('what stands behind for want of room', () => {
  const small = { cashUsd: 0.0001, fullUsd: 0.0001 };
  const large = { cashUsd: 0.0005, fullUsd: 0.0005 };
  /** Own hardware costs no cash, and more than a small model in the cloud where everything counts. */
  const own = { cashUsd: 0, fullUsd: 0.0003 };
  const all = { small, large, own };

  /** With bounds as large as costs, of budgets with room for so much in each basis; undefined: there is none. */
  function behind(candidates: Record<string, typeof own>, spare: { cash?: number; full?: number }): string[] {
    const least = leastUsd(Object.values(candidates));
    return Object.entries(candidates).flatMap(([id, of]) =>
      isBeyondRoom(of, least, (basis) => (basis === 'cash' ? of.cashUsd : of.fullUsd) > (spare[basis] ?? Infinity))
        ? [id]
        : [],
    );
  }

  it.each<[string, Parameters<typeof behind>[0], Parameters<typeof behind>[1], string[]]>([
    ['nothing where no budget says', all, {}, []],
    ['nothing where there is room for all', all, { cash: 0.0005, full: 0.0005 }, []],
    ['what a budget of cash has no room for', all, { cash: 0.0001 }, ['large']],
    ['of a spent budget of cash all but own hardware', all, { cash: 0 }, ['small', 'large']],
    ['of a spent budget of full cost all but what costs least in full', all, { full: 0 }, ['large', 'own']],
    [
      'the least of each basis too, where a budget of the other cannot spare it',
      all,
      { cash: 0, full: 0 },
      Object.keys(all),
    ],
    ['the same however much room a budget of cash has', all, { cash: 1, full: 0 }, ['large', 'own']],
    ['neither of two that cost the least', { small, again: small }, { cash: 0, full: 0 }, []],
    ['not the only one', { large }, { cash: 0, full: 0 }, []],
  ])('is %s', (_what, candidates, spare, expected) => {
    expect(behind(candidates, spare)).toEqual(expected);
  });
});
