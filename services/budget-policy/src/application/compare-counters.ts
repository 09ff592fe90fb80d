import type { WindowCounters } from '@meritorder/counters';
import type { Nanos } from '@meritorder/kernel';

/** One window, as it was counted and as it was booked a moment later. */
export interface Observation {
  budget: string;
  window: string;
  counted: { settledNanos: Nanos; unconfirmedNanos: Nanos; reservedNanos: Nanos };
  booked: { settledNanos: Nanos; unconfirmedNanos: Nanos };
}

export interface BookedTotal {
  budget: string;
  window: string;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
}

export function observe(counted: readonly WindowCounters[], booked: readonly BookedTotal[]): Map<string, Observation> {
  const totals = new Map(booked.map((total) => [nameOf(total), total]));
  return new Map(
    counted.map((counters): [string, Observation] => {
      const { budget, window, settledNanos, unconfirmedNanos, reservedNanos } = counters;
      const total = totals.get(nameOf(counters));
      return [
        nameOf(counters),
        {
          budget,
          window,
          counted: { settledNanos, unconfirmedNanos, reservedNanos },
          booked: { settledNanos: total?.settledNanos ?? 0n, unconfirmedNanos: total?.unconfirmedNanos ?? 0n },
        },
      ];
    }),
  );
}

/**
 * What differs now as it did before: a charge that was booked and not yet counted shows for a moment, in one of two looks; what is
 * the same in both is drift.
 */
export function lastingDrift(
  before: ReadonlyMap<string, Observation>,
  now: ReadonlyMap<string, Observation>,
): Observation[] {
  return [...now.values()].filter((o) => differs(o) && isSame(o, before.get(nameOf(o))));
}

/** Windows that hold something although nothing of them is open as far as the books know, and nothing moved in between. */
export function lastingHolds(
  before: ReadonlyMap<string, Observation>,
  now: ReadonlyMap<string, Observation>,
  inFlight: ReadonlySet<string>,
): Observation[] {
  return [...now.values()].filter(
    (o) => o.counted.reservedNanos > 0n && !inFlight.has(nameOf(o)) && isSame(o, before.get(nameOf(o))),
  );
}

/** What must be added to the counters. */
export function correction({ counted, booked }: Observation): { settledNanos: Nanos; unconfirmedNanos: Nanos } {
  return {
    settledNanos: booked.settledNanos - counted.settledNanos,
    unconfirmedNanos: booked.unconfirmedNanos - counted.unconfirmedNanos,
  };
}

export function nameOf(of: { budget: string; window: string }): string {
  return `${of.budget} ${of.window}`;
}

function differs({ counted, booked }: Observation): boolean {
  return counted.settledNanos !== booked.settledNanos || counted.unconfirmedNanos !== booked.unconfirmedNanos;
}

function isSame(a: Observation, b: Observation | undefined): boolean {
  return (
    b !== undefined &&
    a.counted.settledNanos === b.counted.settledNanos &&
    a.counted.unconfirmedNanos === b.counted.unconfirmedNanos &&
    a.counted.reservedNanos === b.counted.reservedNanos &&
    a.booked.settledNanos === b.booked.settledNanos &&
    a.booked.unconfirmedNanos === b.booked.unconfirmedNanos
  );
}
