import type { Nanos } from '@meritorder/kernel';
import type { Host } from './host.js';
import { compare, isZero, minus, over, plus, ratio, ratioOf, times, toNumber, ZERO } from './ratio.js';
import type { UnitPrices } from './unit-prices.js';
import type { GpuSeconds } from './units.js';

/**
 * From which use own hardware is cheaper than a cloud backend for the same work, at equal quality, which is assumed.
 * `use` is the share of available time that its GPUs are busy: below 1 it pays from there on, above 1 not even when it is always
 * busy, and `never` when what one more token costs here is what the cloud asks or more.
 */
export type BreakEven =
  { verdict: 'from'; use: number } | { verdict: 'beyond-full-use'; use: number } | { verdict: 'never' };

export interface BreakEvenQuestion {
  host: Host;
  prices: UnitPrices;
  /** How long some work keeps this host's GPUs busy, at the batch size that it really runs at. */
  work: GpuSeconds;
  /** What the cloud asks for the same tokens. */
  cloudNanos: Nanos;
}

/**
 * `use = fixed an hour / (tokens an hour at full load x (cloud $/token - variable $/token))`, for a mix of tokens instead of one
 * kind: per GPU-second the cloud would ask `cloud / work`, so `use = fixed an hour / (3600 A GPUs (cloud / work - variable))`.
 */
export function breakEven({ host, prices, work, cloudNanos }: BreakEvenQuestion): BreakEven {
  const capacity = times(times(ratio(3_600n), ratioOf(host.gpus)), host.availability);
  if (isZero(work) || isZero(capacity)) return { verdict: 'never' };
  const saved = minus(over(ratio(cloudNanos), work), prices.marginal);
  if (compare(saved, ZERO) <= 0) return { verdict: 'never' };
  const use = toNumber(over(plus(prices.fixedPerHour, prices.idlePowerPerHour), times(capacity, saved)));
  return { verdict: use <= 1 ? 'from' : 'beyond-full-use', use };
}
