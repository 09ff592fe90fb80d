import type { Nanos } from '@meritorder/kernel';
import { capitalNanos, depreciatedByUseNanos, depreciatedNanos } from './depreciation.js';
import { MONTHLY_LINES, type Host, type Power } from './host.js';
import { atMost, minus, over, plus, ratio, ratioOf, roundHalfEven, times, ZERO, type Ratio } from './ratio.js';
import { meanPrice } from './tariff.js';
import {
  costOfEnergy,
  costOfTime,
  costOfWork,
  energyOf,
  gpuMicroseconds,
  perGpuSecond,
  quantity,
  type Joules,
  type Milliseconds,
  type NanosPerHour,
  type Watts,
} from './units.js';

/** What a host costs, line by line. The last two pass with work, the others with time. */
export const COST_LINES = ['depreciation', 'capital', ...MONTHLY_LINES, 'rent', 'idlePower', 'energy', 'wear'] as const;
export type CostLine = (typeof COST_LINES)[number];

/** How its energy is known: read off meters for all of the time, for some of it, or as it is configured. */
export type EnergyBasis = 'measured' | 'partly-measured' | 'configured';

/** What a host did in a period. */
export interface HostUse {
  /** Sum over its GPUs. */
  busyGpuMicroseconds: bigint;
  /** The same from its first day to the beginning of the period; for units of production. */
  busyBeforeGpuMicroseconds: bigint;
  /** What its meters said, and for how much of the period. */
  measured?: { millijoules: bigint; coveredMs: number } | undefined;
}

export interface IncurredCost {
  lines: Record<CostLine, Nanos>;
  totalNanos: Nanos;
  energyBasis: EnergyBasis;
}

const DAY_MS = 86_400_000;
/** Meters that missed this little of a period are taken to have seen all of it. */
const ALMOST = 0.99;

/**
 * What a host cost in [from, to), in whole nano-dollars line by line. Lines that pass with time sum exactly over any split of it,
 * those that pass with work are rounded once a period.
 */
export function incurredCost(host: Host, fromMs: number, toMs: number, use: HostUse): IncurredCost {
  const fromInService = Math.max(fromMs, host.owned?.inServiceFromMs ?? fromMs);
  const from = Math.min(fromInService, toMs);
  const { owned } = host;
  const busyUntil = use.busyBeforeGpuMicroseconds + use.busyGpuMicroseconds;
  const work = gpuMicroseconds(use.busyGpuMicroseconds);
  const { idlePower, energy, basis } = energyCost(host, from, toMs, use);
  const lines: Record<CostLine, Nanos> = {
    depreciation: owned
      ? depreciatedNanos(owned, from, toMs) + depreciatedByUseNanos(owned, use.busyBeforeGpuMicroseconds, busyUntil)
      : 0n,
    capital: owned ? capitalNanos(owned, from, toMs, use.busyBeforeGpuMicroseconds) : 0n,
    maintenance: overTime(host.monthly.maintenance, from, toMs),
    hosting: overTime(host.monthly.hosting, from, toMs),
    staff: overTime(host.monthly.staff, from, toMs),
    licences: overTime(host.monthly.licences, from, toMs),
    rent: overTime(host.rent, from, toMs),
    idlePower,
    energy,
    wear: roundHalfEven(costOfWork(perGpuSecond(host.wear), work)),
  };
  return { lines, totalNanos: COST_LINES.reduce((total, line) => total + lines[line], 0n), energyBasis: basis };
}

/** Counted from the first millisecond of all, so that any split of time sums exactly. */
function overTime(price: NanosPerHour, fromMs: number, toMs: number): Nanos {
  const until = (atMs: number): Nanos => roundHalfEven(costOfTime(price, time(0, atMs)));
  return until(toMs) - until(fromMs);
}

function time(fromMs: number, toMs: number): Milliseconds {
  return quantity(ratio(BigInt(Math.round(toMs)) - BigInt(Math.round(fromMs))));
}

/** What all GPUs draw while they idle, as far as they are on: availability counts, and what the building adds. */
function idleWatts(host: Host, power: Power): Watts {
  return quantity(times(times(times(power.idlePerGpu, ratioOf(host.gpus)), power.pue), host.availability));
}

/** As configured. Counted from the beginning of each UTC day, so that any split of time sums exactly. */
export function idlePowerNanos(host: Host, fromMs: number, toMs: number): Nanos {
  const { power } = host;
  if (!power) return 0n;
  const draw = idleWatts(host, power);
  const inDay = (dayMs: number, atMs: number): Nanos =>
    roundHalfEven(costOfEnergy(meanPrice(power.tariff, dayMs, atMs), energyOf(draw, time(dayMs, atMs))));
  let total = 0n;
  for (let dayMs = Math.floor(fromMs / DAY_MS) * DAY_MS; dayMs < toMs; dayMs += DAY_MS)
    total += inDay(dayMs, Math.min(toMs, dayMs + DAY_MS)) - inDay(dayMs, Math.max(fromMs, dayMs));
  return total;
}

/**
 * Energy as measured for the time that meters covered and as configured for the rest, at the tariff's average of the period.
 * Of what was measured, idle power comes first and the remainder is what work added.
 */
function energyCost(
  host: Host,
  fromMs: number,
  toMs: number,
  use: HostUse,
): { idlePower: Nanos; energy: Nanos; basis: EnergyBasis } {
  const { power } = host;
  if (!power || toMs <= fromMs) return { idlePower: 0n, energy: 0n, basis: 'configured' };
  const price = meanPrice(power.tariff, fromMs, toMs);
  const idle = ratio(idlePowerNanos(host, fromMs, toMs));
  const busyJoules: Joules = quantity(
    times(times(power.busyPerGpu, gpuMicroseconds(use.busyGpuMicroseconds)), power.pue),
  );
  const working = costOfEnergy(price, busyJoules);
  const coveredMs = Math.min(Math.max(0, Math.round(use.measured?.coveredMs ?? 0)), toMs - fromMs);
  const covered = over(time(0, coveredMs), time(fromMs, toMs));
  const uncovered = minus(ratio(1n), covered);

  const seen = coveredMs > 0 ? measuredCost(power, use.measured!.millijoules, coveredMs) : ZERO;
  const measuredNanos = costOfEnergy(price, quantity(seen));
  const total = roundHalfEven(plus(measuredNanos, times(plus(idle, working), uncovered)));
  const idlePower = roundHalfEven(plus(atMost(times(idle, covered), measuredNanos), times(idle, uncovered)));
  return {
    idlePower,
    energy: total - idlePower,
    basis: coveredMs === 0 ? 'configured' : coveredMs >= ALMOST * (toMs - fromMs) ? 'measured' : 'partly-measured',
  };
}

/** Joules with what meters do not see and what the building adds. */
function measuredCost(power: Power, millijoules: bigint, coveredMs: number): Ratio {
  const unseen = energyOf(power.unmeasured, time(0, coveredMs));
  return times(plus(ratio(millijoules, 1_000n), unseen), power.pue);
}
