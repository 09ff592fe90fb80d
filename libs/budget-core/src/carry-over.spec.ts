import { describe, expect, it } from 'vitest';
import { MAX_COUNTER_NANOS } from '@meritorder/kernel';
import { carriedNanos, limitIn } from './index.js';

const budget = { limitNanos: '1000', limitVersion: 3, carryOver: { maxShare: 0.25 } };

describe('what a window leaves to the next', () => {
  it.each([
    ['the unspent rest', 900n, 100n],
    ['at most its share of the limit', 100n, 250n],
    ['nothing when all is spent', 1_000n, 0n],
    ['nothing after an overrun', 1_200n, 0n],
  ])('%s', (_name, spent, carried) => {
    expect(carriedNanos(budget, '2026-11', spent)).toBe(carried);
  });

  it('counts what was carried into the window itself, and stays within the share of the limit without it', () => {
    const carrying = { ...budget, carry: { window: '2026-11', nanos: '200', revision: 1 } };
    expect(carriedNanos(carrying, '2026-11', 1_100n)).toBe(100n);
    expect(carriedNanos(carrying, '2026-11', 0n)).toBe(250n);
    expect(carriedNanos(carrying, '2026-10', 1_100n)).toBe(0n);
  });

  it('is nothing for a budget without carry-over', () => {
    expect(carriedNanos({ limitNanos: '1000', limitVersion: 1 }, '2026-11', 0n)).toBe(0n);
  });
});

describe('the limit of a window', () => {
  it('is raised in the window that was carried into, and in no other', () => {
    const carrying = { ...budget, carry: { window: '2026-12', nanos: '200', revision: 2 } };
    expect(limitIn(carrying, '2026-12')).toEqual({ limitNanos: 1_200n, version: 3_002 });
    expect(limitIn(carrying, '2026-11')).toEqual({ limitNanos: 1_000n, version: 3_000 });
  });

  it('a new version of the definition is newer than any carry under the old one', () => {
    const carried = { ...budget, carry: { window: 'w', nanos: '1', revision: 999 } };
    expect(limitIn({ ...budget, limitVersion: 4 }, 'w').version).toBeGreaterThan(limitIn(carried, 'w').version);
  });

  it('a carry never raises it beyond what a counter holds', () => {
    const edge = {
      limitNanos: MAX_COUNTER_NANOS.toString(),
      limitVersion: 1,
      carry: { window: 'w', nanos: '5', revision: 1 },
    };
    expect(limitIn(edge, 'w').limitNanos).toBe(MAX_COUNTER_NANOS);
  });
});
