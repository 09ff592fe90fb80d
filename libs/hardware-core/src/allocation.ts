import type { Nanos } from '@meritorder/kernel';
import type { Host } from './host.js';
import { incurredCost, type HostUse, type IncurredCost } from './incurred.js';
import { minus, plus, ratio, roundHalfEven, times, ZERO } from './ratio.js';
import type { UnitPrices } from './unit-prices.js';
import { costOfWork, gpuMicroseconds, quantity, type GpuSeconds, type NanosPerGpuSecond } from './units.js';

/** Why incurred and allocated differ, in the order of the lines. Above zero: it cost more than was allocated. */
export const VARIANCES = ['unusedCapacity', 'rate', 'energy', 'spending', 'price'] as const;
export type Variance = (typeof VARIANCES)[number];

export interface HostPeriod extends IncurredCost {
  /** What the period's attempts were charged. */
  allocatedNanos: Nanos;
  /** Incurred less allocated, exactly: what stood idle, or below zero what was over-absorbed. */
  idleNanos: Nanos;
  /** Sums to `idleNanos` exactly. */
  variances: Record<Variance, Nanos>;
}

export interface PeriodFacts {
  fromMs: number;
  toMs: number;
  use: HostUse;
  /** How long the period's tokens would keep GPUs busy at the rates that prices rest on. */
  standardGpuMicroseconds: bigint;
  /** What the period's attempts were charged beyond cash. */
  allocatedNanos: Nanos;
}

/**
 * Closes a period of a host: everything that it cost is either charged to attempts or stands idle (design, invariant 12).
 * Nothing is divided by what was used, so a host without use is all idle and a new one is no exception.
 */
export function closePeriod(host: Host, plan: UnitPrices, facts: PeriodFacts): HostPeriod {
  const incurred = incurredCost(host, facts.fromMs, facts.toMs, facts.use);
  const idleNanos = incurred.totalNanos - facts.allocatedNanos;
  return {
    ...incurred,
    allocatedNanos: facts.allocatedNanos,
    idleNanos,
    variances: variancesOf(host, plan, facts, incurred.lines, idleNanos),
  };
}

/**
 * Planned against actual. With fixed rate f, variable rate v, practical capacity C, standard work S, actual work W, all in
 * GPU-seconds:
 *
 *     unused capacity  f (C - W)              capacity that fixed cost was spread over and nobody used
 *     rate             (f + v) (W - S)        the engine was slower than prices assume
 *     energy           energy, wear and idle power as incurred, less those planned for W
 *     spending         the other fixed cost as incurred, less the planned
 *     price            (f + v) S - allocated  attempts were charged at other prices; also what rounding left
 */
function variancesOf(
  host: Host,
  plan: UnitPrices,
  { fromMs, toMs, use, standardGpuMicroseconds, allocatedNanos }: PeriodFacts,
  lines: IncurredCost['lines'],
  idleNanos: Nanos,
): Record<Variance, Nanos> {
  const hours = ratio(BigInt(Math.round(toMs - fromMs)), 3_600_000n);
  const work = gpuMicroseconds(use.busyGpuMicroseconds);
  const fixedRate: NanosPerGpuSecond = plan.fixedPerGpuSecond ?? quantity(ZERO);
  const fullRate: NanosPerGpuSecond = quantity(plus(fixedRate, plan.marginal));
  const unused: GpuSeconds = quantity(minus(times(plan.practicalGpuSecondsPerHour, hours), work));
  const slower: GpuSeconds = quantity(minus(work, gpuMicroseconds(standardGpuMicroseconds)));

  const usedUp = host.owned?.schedule === 'units-of-production' ? lines.depreciation : 0n;
  const withWork = lines.energy + lines.wear + lines.idlePower + usedUp;
  const plannedWithWork = plus(costOfWork(plan.marginal, work), times(plan.idlePowerPerHour, hours));
  const otherFixed = allocatedNanos + idleNanos - withWork;

  const unusedCapacity = roundHalfEven(costOfWork(fixedRate, unused));
  const rate = roundHalfEven(costOfWork(fullRate, slower));
  const energy = withWork - roundHalfEven(plannedWithWork);
  const spending = otherFixed - roundHalfEven(times(plan.fixedPerHour, hours));
  return { unusedCapacity, rate, energy, spending, price: idleNanos - unusedCapacity - rate - energy - spending };
}
