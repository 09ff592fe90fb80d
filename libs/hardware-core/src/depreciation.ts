import type { Nanos } from '@meritorder/kernel';
import { MS_PER_YEAR, type Owned } from './host.js';
import { minus, over, plus, ratio, roundHalfEven, times, ZERO, type Ratio } from './ratio.js';

/** How much of the price is written off after so long in service; linear between the points. */
interface Point {
  ageMs: bigint;
  writtenOffNanos: Nanos;
}

const schedules = new WeakMap<Owned, readonly Point[]>();

/**
 * What a host loses in value in [from, to), by time. As the difference of a cumulative amount, so that any split of time sums
 * exactly, and the whole life sums to price minus salvage. Before it is in service and after its life that is nothing; by
 * units of production it is always nothing, see `depreciatedByUseNanos`.
 */
export function depreciatedNanos(owned: Owned, fromMs: number, toMs: number): Nanos {
  return roundHalfEven(writtenOff(owned, ageAt(owned, toMs))) - roundHalfEven(writtenOff(owned, ageAt(owned, fromMs)));
}

/**
 * What a host loses in value between two readings of how long its GPUs were busy since it was bought, by units of production;
 * by any other schedule nothing. Use beyond its lifetime costs nothing more.
 */
export function depreciatedByUseNanos(owned: Owned, fromGpuMicroseconds: bigint, toGpuMicroseconds: bigint): Nanos {
  return roundHalfEven(usedUp(owned, toGpuMicroseconds)) - roundHalfEven(usedUp(owned, fromGpuMicroseconds));
}

/**
 * The charge for the capital that is bound in a host in [from, to): a share of its book value a year. Sums exactly over any
 * split of time, but for units of production, where the book value depends on use: there it is that of the beginning.
 */
export function capitalNanos(owned: Owned, fromMs: number, toMs: number, usedGpuMicroseconds = 0n): Nanos {
  const from = ageAt(owned, fromMs);
  const to = ageAt(owned, toMs);
  if (owned.schedule !== 'units-of-production')
    return roundHalfEven(capitalUntil(owned, to)) - roundHalfEven(capitalUntil(owned, from));
  const bookValue = minus(ratio(owned.purchaseNanos), usedUp(owned, usedGpuMicroseconds));
  return roundHalfEven(yearly(owned, times(bookValue, ratio(to - from))));
}

export function bookValueNanos(owned: Owned, atMs: number, usedGpuMicroseconds = 0n): Nanos {
  const lost =
    owned.schedule === 'units-of-production'
      ? usedUp(owned, usedGpuMicroseconds)
      : writtenOff(owned, ageAt(owned, atMs));
  return owned.purchaseNanos - roundHalfEven(lost);
}

/** Everything that is ever written off. */
export function depreciableNanos(owned: Owned): Nanos {
  return owned.purchaseNanos - owned.salvageNanos;
}

function ageAt(owned: Owned, atMs: number): bigint {
  return BigInt(Math.max(0, Math.round(atMs - owned.inServiceFromMs)));
}

function usedUp(owned: Owned, busyGpuMicroseconds: bigint): Ratio {
  const lifetime = owned.lifetimeGpuMicroseconds;
  if (owned.schedule !== 'units-of-production' || lifetime === 0n) return ZERO;
  const used = busyGpuMicroseconds < lifetime ? busyGpuMicroseconds : lifetime;
  return ratio(depreciableNanos(owned) * used, lifetime);
}

function writtenOff(owned: Owned, ageMs: bigint): Ratio {
  const points = scheduleOf(owned);
  const index = points.findIndex((p) => p.ageMs > ageMs);
  if (index < 0) return ratio(points.at(-1)!.writtenOffNanos);
  const [before, after] = [points[index - 1]!, points[index]!];
  return plus(
    ratio(before.writtenOffNanos),
    ratio((after.writtenOffNanos - before.writtenOffNanos) * (ageMs - before.ageMs), after.ageMs - before.ageMs),
  );
}

/** The charge from the first day on: the book value integrated over time, which is exact since it is linear in pieces. */
function capitalUntil(owned: Owned, ageMs: bigint): Ratio {
  const points = scheduleOf(owned);
  let writtenOffTime = ZERO;
  let [from, lost] = [0n, ZERO];
  for (const end of [...points.slice(1).map((p) => p.ageMs), ageMs]) {
    const to = end < ageMs ? end : ageMs;
    if (to <= from) continue;
    const lostThen = writtenOff(owned, to);
    writtenOffTime = plus(writtenOffTime, times(plus(lost, lostThen), ratio(to - from, 2n)));
    [from, lost] = [to, lostThen];
  }
  return yearly(owned, minus(ratio(owned.purchaseNanos * ageMs), writtenOffTime));
}

function yearly(owned: Owned, nanosTimesMs: Ratio): Ratio {
  return over(times(nanosTimesMs, owned.capitalChargePerYear), ratio(MS_PER_YEAR));
}

function scheduleOf(owned: Owned): readonly Point[] {
  let points = schedules.get(owned);
  if (!points) {
    points = pointsOf(owned);
    schedules.set(owned, points);
  }
  return points;
}

function pointsOf(owned: Owned): readonly Point[] {
  const end: Point = { ageMs: owned.lifeMs, writtenOffNanos: depreciableNanos(owned) };
  switch (owned.schedule) {
    case 'straight-line':
      return [NEW, end];
    case 'declining-balance':
      return decliningBalance(owned);
    case 'sum-of-years':
      return sumOfYears(owned);
    case 'units-of-production':
      return [NEW, { ...end, writtenOffNanos: 0n }];
  }
}

const NEW: Point = { ageMs: 0n, writtenOffNanos: 0n };

/** Years of service, the last one shorter where the life is not whole years. */
function* yearsOf(owned: Owned): Generator<{ endMs: bigint; lengthMs: bigint; remainingMs: bigint }> {
  for (let startMs = 0n; startMs < owned.lifeMs; startMs += MS_PER_YEAR) {
    const remainingMs = owned.lifeMs - startMs;
    const lengthMs = remainingMs < MS_PER_YEAR ? remainingMs : MS_PER_YEAR;
    yield { endMs: startMs + lengthMs, lengthMs, remainingMs };
  }
}

/** 2/life of the book value a year, or the straight line over what remains where that is more; evenly within a year. */
function decliningBalance(owned: Owned): Point[] {
  const points = [NEW];
  let lost = 0n;
  for (const { endMs, lengthMs, remainingMs } of yearsOf(owned)) {
    const left = depreciableNanos(owned) - lost;
    const declining = roundHalfEven(ratio((owned.purchaseNanos - lost) * 2n * lengthMs, owned.lifeMs));
    const straight = roundHalfEven(ratio(left * lengthMs, remainingMs));
    const most = declining > straight ? declining : straight;
    lost += most < left ? most : left;
    points.push({ ageMs: endMs, writtenOffNanos: lost });
  }
  return points;
}

/** In proportion to the years that remain at the beginning of each. */
function sumOfYears(owned: Owned): Point[] {
  const weights = [...yearsOf(owned)].map((y) => ({ endMs: y.endMs, weight: y.remainingMs * y.lengthMs }));
  const total = weights.reduce((all, y) => all + y.weight, 0n);
  let soFar = 0n;
  return [
    NEW,
    ...weights.map(({ endMs, weight }) => {
      soFar += weight;
      return { ageMs: endMs, writtenOffNanos: roundHalfEven(ratio(depreciableNanos(owned) * soFar, total)) };
    }),
  ];
}
