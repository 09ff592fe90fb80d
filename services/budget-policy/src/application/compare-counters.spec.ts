import { describe, expect, it } from 'vitest';
import { correction, lastingDrift, lastingHolds, observe } from './compare-counters.js';

const counted = (settledNanos: bigint, reservedNanos = 0n) => ({
  budget: 'org',
  window: '2026-11',
  limitNanos: 1_000n,
  settledNanos,
  unconfirmedNanos: 0n,
  reservedNanos,
  peakNanos: 0n,
});
const look = (inCounters: bigint, inBooks: bigint | undefined, reserved = 0n) =>
  observe(
    [counted(inCounters, reserved)],
    inBooks === undefined ? [] : [{ budget: 'org', window: '2026-11', settledNanos: inBooks, unconfirmedNanos: 0n }],
  );

describe('drift between counters and books', () => {
  it('is what differs in two looks alike', () => {
    const [drift] = lastingDrift(look(100n, 130n), look(100n, 130n));
    expect(correction(drift!)).toEqual({ settledNanos: 30n, unconfirmedNanos: 0n });
  });

  it('is not a charge on its way, which moves between two looks', () => {
    expect(lastingDrift(look(100n, 130n), look(130n, 160n))).toEqual([]);
    expect(lastingDrift(look(100n, 100n), look(100n, 130n))).toEqual([]);
    expect(lastingDrift(new Map(), look(100n, 130n))).toEqual([]);
  });

  it('is also what was counted and never booked', () => {
    const [drift] = lastingDrift(look(50n, undefined), look(50n, undefined));
    expect(correction(drift!).settledNanos).toBe(-50n);
  });
});

describe('money that is held for nobody', () => {
  const held = look(0n, 0n, 40n);
  it('is what stays held while the books know of nothing open', () => {
    expect(lastingHolds(held, held, new Set())).toHaveLength(1);
    expect(lastingHolds(held, held, new Set(['org 2026-11']))).toEqual([]);
    expect(lastingHolds(look(0n, 0n, 30n), held, new Set())).toEqual([]);
  });
});
