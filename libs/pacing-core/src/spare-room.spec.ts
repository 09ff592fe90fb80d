import { InvariantError } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { beginShadowPrice } from './shadow-price.js';
import { spareRoomNanos, type RoomReading } from './spare-room.js';

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
