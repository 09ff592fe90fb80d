import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { entriesFor, mayFollow, spendChange, type AttemptState, type Charge } from './index.js';

const parties = { attribution: { org: 'acme', department: 'eng' }, provider: 'openai' };
const confirmed = (cash: bigint, full = cash): Charge => ({ state: 'confirmed', cashNanos: cash, fullNanos: full });
const unconfirmed = (cash: bigint, full = cash): Charge => ({ state: 'unconfirmed', cashNanos: cash, fullNanos: full });
const charged = (charge: Charge, chargedNanos: bigint): Charge => ({ ...charge, chargedNanos });
const free: Charge = { state: 'free', cashNanos: 0n, fullNanos: 0n };

function balances(steps: [Charge | undefined, Charge][]): Record<string, bigint> {
  const sums: Record<string, bigint> = {};
  for (const [before, after] of steps) {
    for (const e of entriesFor(parties, before, after)) {
      expect(e.amountNanos).toBeGreaterThan(0n);
      sums[e.debitAccount] = (sums[e.debitAccount] ?? 0n) + e.amountNanos;
      sums[e.creditAccount] = (sums[e.creditAccount] ?? 0n) - e.amountNanos;
    }
  }
  return Object.fromEntries(Object.entries(sums).filter(([, v]) => v !== 0n));
}

describe('balances after', () => {
  it.each<[string, [Charge | undefined, Charge][], Record<string, bigint>]>([
    ['a confirmed cloud attempt', [[undefined, confirmed(10n)]], { 'expense:acme:eng': 10n, 'payable:openai': -10n }],
    ['own hardware', [[undefined, confirmed(0n, 7n)]], { 'expense:acme:eng': 7n, 'absorbed:openai': -7n }],
    ['a free attempt', [[undefined, free]], {}],
    [
      'an unconfirmed one',
      [[undefined, unconfirmed(10n)]],
      { 'expense:acme:eng': 10n, 'unconfirmed-payable:openai': -10n },
    ],
    [
      'its invoice line',
      [
        [undefined, unconfirmed(10n)],
        [unconfirmed(10n), confirmed(3n)],
      ],
      { 'expense:acme:eng': 3n, 'payable:openai': -3n },
    ],
    [
      'no invoice line',
      [
        [undefined, unconfirmed(10n, 12n)],
        [unconfirmed(10n, 12n), free],
      ],
      {},
    ],
    [
      'a free one that was billed after all',
      [
        [undefined, free],
        [free, confirmed(4n)],
      ],
      { 'expense:acme:eng': 4n, 'payable:openai': -4n },
    ],
    [
      'an answer that a customer is charged for',
      [[undefined, charged(confirmed(10n), 15n)]],
      { 'expense:acme:eng': 10n, 'payable:openai': -10n, 'receivable:acme:-': 15n, 'revenue:acme:-': -15n },
    ],
    [
      'one that is not confirmed, and its invoice line',
      [
        [undefined, charged(unconfirmed(10n), 15n)],
        [charged(unconfirmed(10n), 15n), charged(confirmed(4n), 6n)],
      ],
      { 'expense:acme:eng': 4n, 'payable:openai': -4n, 'receivable:acme:-': 6n, 'revenue:acme:-': -6n },
    ],
    [
      'one that the provider did not charge for either',
      [
        [undefined, charged(unconfirmed(10n), 15n)],
        [charged(unconfirmed(10n), 15n), charged(free, 0n)],
      ],
      {},
    ],
  ])('%s', (_name, steps, expected) => {
    expect(balances(steps)).toEqual(expected);
  });
});

describe('a correction of a confirmed charge books the difference alone', () => {
  it.each<[string, Charge, Charge, [string, string, bigint][]]>([
    ['a dearer price', confirmed(10n), confirmed(13n), [['expense:acme:eng', 'payable:openai', 3n]]],
    ['a cheaper price', confirmed(10n), confirmed(6n), [['payable:openai', 'expense:acme:eng', 4n]]],
    [
      'own hardware that turned out to be rented',
      confirmed(0n, 7n),
      confirmed(5n, 7n),
      [
        ['expense:acme:eng', 'payable:openai', 5n],
        ['absorbed:openai', 'expense:acme:eng', 5n],
      ],
    ],
    ['another version at the same rates', confirmed(10n), confirmed(10n), []],
    [
      'of a charged answer, whose charge stands',
      charged(confirmed(10n), 15n),
      charged(confirmed(13n), 15n),
      [['expense:acme:eng', 'payable:openai', 3n]],
    ],
  ])('%s', (_name, before, after, expected) => {
    const entries = entriesFor(parties, before, after, true);
    expect(entries.map((e) => [e.debitAccount, e.creditAccount, e.amountNanos])).toEqual(expected);
    expect(entries.every((e) => e.kind === 'adjustment')).toBe(true);
  });

  it('moves the total of a window by the difference', () => {
    expect(spendChange(confirmed(10n, 12n), confirmed(6n, 12n), 'cash')).toEqual({
      settledNanos: -4n,
      unconfirmedNanos: 0n,
    });
    expect(spendChange(confirmed(10n, 12n), confirmed(6n, 12n), 'full').settledNanos).toBe(0n);
  });

  it.each<[AttemptState | undefined, AttemptState]>([
    [undefined, 'confirmed'],
    ['free', 'confirmed'],
    ['unconfirmed', 'confirmed'],
    ['confirmed', 'free'],
    ['confirmed', 'unconfirmed'],
  ])('there is none from %s to %s', (before, after) => {
    expect(mayFollow(before, after, true)).toBe(false);
    const charge = before === undefined ? undefined : { ...free, state: before };
    expect(() => entriesFor(parties, charge, { ...free, state: after }, true)).toThrow(/cannot go/);
  });

  it('over random corrections, the books are what the last price says, and every entry of before stays', () => {
    const random = seededRandom(31);
    for (let i = 0; i < 500; i++) {
      const amount = (): bigint => BigInt(Math.floor(random() * 1e6));
      const charges = Array.from({ length: 4 }, () => confirmed(amount(), amount()));
      const entries = charges.map((charge, n) => entriesFor(parties, charges[n - 1], charge, n > 0));
      const expense = entries
        .flat()
        .reduce((sum, e) => sum + (e.debitAccount === 'expense:acme:eng' ? e.amountNanos : -e.amountNanos), 0n);
      expect(expense).toBe(charges.at(-1)!.fullNanos);
      expect(entries.slice(1).every((later) => later.every((e) => e.kind === 'adjustment'))).toBe(true);
    }
  });
});

it.each<[AttemptState, AttemptState]>([
  ['confirmed', 'confirmed'],
  ['confirmed', 'free'],
  ['confirmed', 'unconfirmed'],
  ['unconfirmed', 'unconfirmed'],
  ['free', 'unconfirmed'],
  ['free', 'free'],
])('%s never becomes %s', (before, after) => {
  expect(mayFollow(before, after)).toBe(false);
  expect(() => entriesFor(parties, { ...free, state: before }, { ...free, state: after })).toThrow(/cannot go/);
});

it('over random histories, expense equals the charges in force and the books sum to zero', () => {
  const random = seededRandom(11);
  for (let i = 0; i < 1_000; i++) {
    const amount = (): bigint => BigInt(Math.floor(random() * 1e6));
    let current: Charge | undefined;
    const steps: [Charge | undefined, Charge][] = [];
    const totals = { settled: 0n, unconfirmed: 0n };
    for (let step = 0; step < 3; step++) {
      const state = (['confirmed', 'free', 'unconfirmed'] as const)[Math.floor(random() * 3)]!;
      if (!mayFollow(current?.state, state)) continue;
      const next: Charge = state === 'free' ? free : { state, cashNanos: amount(), fullNanos: amount() };
      const change = spendChange(current, next, 'full');
      totals.settled += change.settledNanos;
      totals.unconfirmed += change.unconfirmedNanos;
      steps.push([current, next]);
      current = next;
    }
    const sums = balances(steps);
    expect(Object.values(sums).reduce((a, b) => a + b, 0n)).toBe(0n);
    expect(sums['expense:acme:eng'] ?? 0n).toBe(current?.fullNanos ?? 0n);
    expect(totals.settled + totals.unconfirmed).toBe(current?.fullNanos ?? 0n);
  }
});
