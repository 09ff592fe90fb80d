import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { hostPeriodEntries, type HostPeriodCost } from './index.js';

const balances = (cost: HostPeriodCost): Record<string, bigint> => {
  const all: Record<string, bigint> = {};
  for (const { debitAccount, creditAccount, amountNanos } of hostPeriodEntries(cost)) {
    expect(amountNanos > 0n).toBe(true);
    all[debitAccount] = (all[debitAccount] ?? 0n) + amountNanos;
    all[creditAccount] = (all[creditAccount] ?? 0n) - amountNanos;
  }
  return all;
};

describe('the entries of a host’s period', () => {
  it.each<[string, HostPeriodCost, Record<string, bigint>]>([
    [
      'idle capacity',
      { host: 'g', incurred: { rent: 100n, wear: 0n }, allocated: [{ provider: 'acme', nanos: 60n }], idleNanos: 40n },
      { 'hardware:g': 0n, 'incurred:g:rent': -100n, 'absorbed:acme': 60n, 'idle:g': 40n },
    ],
    [
      'over-absorption, shown as such',
      { host: 'g', incurred: { rent: 100n }, allocated: [{ provider: 'acme', nanos: 130n }], idleNanos: -30n },
      { 'hardware:g': 0n, 'incurred:g:rent': -100n, 'absorbed:acme': 130n, 'over-absorbed:g': -30n },
    ],
    [
      'a correction that takes back more than was charged',
      { host: 'g', incurred: { rent: 100n }, allocated: [{ provider: 'acme', nanos: -5n }], idleNanos: 105n },
      { 'hardware:g': 0n, 'incurred:g:rent': -100n, 'absorbed:acme': -5n, 'idle:g': 105n },
    ],
    [
      'a host that cost nothing and did nothing',
      { host: 'g', incurred: { rent: 0n }, allocated: [], idleNanos: 0n },
      {},
    ],
  ])('%s', (_name, cost, expected) => {
    expect(balances(cost)).toEqual(expected);
  });

  it('balance, and leave the host at zero, for any amounts', () => {
    const random = seededRandom(5);
    const amount = (): bigint => BigInt(Math.floor((random() - 0.2) * 1e12));
    for (let i = 0; i < 500; i++) {
      const incurred = { depreciation: amount(), rent: amount(), energy: amount() };
      const allocated = ['a', 'b'].map((provider) => ({ provider, nanos: amount() }));
      const total = incurred.depreciation + incurred.rent + incurred.energy;
      const idleNanos = total - allocated[0]!.nanos - allocated[1]!.nanos;
      const all = balances({ host: 'g', incurred, allocated, idleNanos });
      expect(Object.values(all).reduce((a, b) => a + b, 0n)).toBe(0n);
      expect(all['hardware:g'] ?? 0n).toBe(0n);
    }
  });

  it('that do not add up are refused', () => {
    expect(() => hostPeriodEntries({ host: 'g', incurred: { rent: 100n }, allocated: [], idleNanos: 99n })).toThrow(
      /not 100 incurred/,
    );
  });
});
