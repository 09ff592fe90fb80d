import { describe, expect, it } from 'vitest';
import { seededRandom, usdToNanos } from '@meritorder/kernel';
import {
  bookValueNanos,
  capitalNanos,
  depreciableNanos,
  depreciatedByUseNanos,
  depreciatedNanos,
  MS_PER_YEAR,
  type Owned,
  type ScheduleKind,
} from './index.js';

const START = Date.UTC(2026, 0, 1);
const YEAR = Number(MS_PER_YEAR);
const BY_TIME = ['straight-line', 'declining-balance', 'sum-of-years'] as const;
const usd = (nanos: bigint): number => Number(nanos) / 1e9;

const owned = (schedule: ScheduleKind, over: Partial<Owned> = {}): Owned => ({
  purchaseNanos: usdToNanos('10000'),
  salvageNanos: usdToNanos('1000'),
  lifeMs: 5n * MS_PER_YEAR,
  inServiceFromMs: START,
  schedule,
  lifetimeGpuMicroseconds: 0n,
  capitalChargePerYear: { numerator: 0n, denominator: 1n },
  ...over,
});

const byYear = (o: Owned, years: number): number[] =>
  Array.from({ length: years }, (_, i) => usd(depreciatedNanos(o, START + i * YEAR, START + (i + 1) * YEAR)));

describe('schedules, $10,000 with $1,000 salvage over five years', () => {
  it.each<[ScheduleKind, number[]]>([
    ['straight-line', [1800, 1800, 1800, 1800, 1800, 0]],
    // 40 % of the book value; in the fourth and fifth year the straight line over what remains is larger or all there is.
    ['declining-balance', [4000, 2400, 1440, 864, 296, 0]],
    // 5, 4, 3, 2 and 1 fifteenths of 9,000.
    ['sum-of-years', [3000, 2400, 1800, 1200, 600, 0]],
    ['units-of-production', [0, 0, 0, 0, 0, 0]],
  ])('%s writes off %j year by year', (schedule, years) => {
    expect(byYear(owned(schedule), 6)).toEqual(years);
  });

  it('declining balance goes over to the straight line where that is larger', () => {
    // Without salvage the balance alone would never reach zero: 4000, 2400, 1440, then 2160 / 2.
    expect(byYear(owned('declining-balance', { salvageNanos: 0n }), 5)).toEqual([4000, 2400, 1440, 1080, 1080]);
  });

  it('by use: half of the lifetime is half of what is written off, and use beyond it costs nothing', () => {
    const o = owned('units-of-production', { lifetimeGpuMicroseconds: 1_000_000n });
    expect(usd(depreciatedByUseNanos(o, 0n, 500_000n))).toBe(4_500);
    expect(usd(depreciatedByUseNanos(o, 500_000n, 3_000_000n))).toBe(4_500);
    expect(usd(depreciatedByUseNanos(o, 3_000_000n, 4_000_000n))).toBe(0);
    expect(usd(bookValueNanos(o, START, 500_000n))).toBe(5_500);
  });
});

describe('for random hosts and random splits of time', () => {
  const random = seededRandom(1906);
  const hosts = Array.from({ length: 60 }, (_, i): Owned => {
    const purchase = BigInt(Math.floor(random() * 9e14));
    return owned(BY_TIME[i % 3]!, {
      purchaseNanos: purchase,
      salvageNanos: (purchase * BigInt(Math.floor(random() * 1_000))) / 1_000n,
      lifeMs: BigInt(Math.ceil((0.2 + random() * 9) * YEAR)),
      capitalChargePerYear: { numerator: BigInt(Math.floor(random() * 120)), denominator: 1_000n },
    });
  });

  it('what is written off sums to price minus salvage, to the nano-dollar, and never goes back', () => {
    for (const host of hosts) {
      let at = START - YEAR * random();
      const end = START + Number(host.lifeMs) + YEAR * random();
      let [total, capital] = [0n, 0n];
      const [first, step] = [at, (end - at) / 40];
      while (at < end) {
        const next = Math.min(end, at + Math.ceil(random() * 2 * step));
        const part = depreciatedNanos(host, at, next);
        expect(part >= 0n).toBe(true);
        total += part;
        capital += capitalNanos(host, at, next);
        at = next;
      }
      expect(total).toBe(depreciableNanos(host));
      expect(capital).toBe(capitalNanos(host, first, end));
      expect(bookValueNanos(host, end)).toBe(host.salvageNanos);
    }
  });

  it('by use too, however it is read off', () => {
    for (const host of hosts) {
      const lifetime = BigInt(Math.ceil(random() * 1e12));
      const o: Owned = { ...host, schedule: 'units-of-production', lifetimeGpuMicroseconds: lifetime };
      let [used, total] = [0n, 0n];
      while (used < lifetime) {
        const next = used + BigInt(Math.ceil(random() * (Number(lifetime) / 10)));
        total += depreciatedByUseNanos(o, used, next);
        used = next;
      }
      expect(total).toBe(depreciableNanos(o));
    }
  });
});

describe('the charge for capital', () => {
  const tenPercent = { capitalChargePerYear: { numerator: 1n, denominator: 10n } };

  it.each<[ScheduleKind, number, number]>([
    // Straight line: the book value falls from 10,000 to 8,200 in the first year, from 2,800 to 1,000 in the last.
    ['straight-line', 910, 190],
    ['declining-balance', 800, 114.8],
    ['sum-of-years', 850, 130],
  ])('%s: 10 %% of the mean book value, $%d in the first and $%d in the last year', (schedule, first, last) => {
    const o = owned(schedule, tenPercent);
    expect(usd(capitalNanos(o, START, START + YEAR))).toBeCloseTo(first, 6);
    expect(usd(capitalNanos(o, START + 4 * YEAR, START + 5 * YEAR))).toBeCloseTo(last, 6);
  });

  it('a host that is kept beyond its life still binds its salvage', () => {
    expect(usd(capitalNanos(owned('straight-line', tenPercent), START + 7 * YEAR, START + 8 * YEAR))).toBeCloseTo(
      100,
      6,
    );
  });
});
