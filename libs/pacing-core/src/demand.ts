import { invariant } from '@meritorder/kernel';

/**
 * How demand compares with its forecast: two sums that decay alike, so that their ratio is that of the two moving averages.
 * Plain JSON of constant size.
 */
export interface Demand {
  /** Until when both are counted, ms since the epoch. */
  atMs: number;
  requests: number;
  forecastRequests: number;
}

/**
 * Time in which what was counted loses 1 - 1/e of its weight: a day, in which a day and a night that no forecast knows of are
 * a sixth of a trend. Two days, as economics has it, were later in surges and drops; chosen by bench:pacing, seeds 201-210.
 */
export const DEMAND_MEMORY_MS = 24 * 3_600_000;
export const LEAST_LEVEL = 1 / 3;
export const GREATEST_LEVEL = 3;
/** What the forecast is believed by at first, in requests: one tick must not say that demand has halved. */
const BELIEF_REQUESTS = 200;

export function newDemand(atMs: number): Demand {
  return { atMs, requests: BELIEF_REQUESTS, forecastRequests: BELIEF_REQUESTS };
}

/** @param counted requests since `demand.atMs` and what had been forecast for that time. @throws InvariantError when negative. */
export function countDemand(
  demand: Demand,
  counted: { requests: number; forecastRequests: number },
  nowMs: number,
): Demand {
  const { requests, forecastRequests } = counted;
  invariant(requests >= 0 && forecastRequests >= 0, `requests are counted from 0: ${requests}, ${forecastRequests}`);
  const kept = Math.exp(-Math.max(0, nowMs - demand.atMs) / DEMAND_MEMORY_MS);
  return {
    atMs: Math.max(nowMs, demand.atMs),
    requests: demand.requests * kept + requests,
    forecastRequests: demand.forecastRequests * kept + forecastRequests,
  };
}

/** By what factor demand exceeds its forecast, from a third to three times. Source: economics, section 2. */
export function demandLevel(demand: Demand): number {
  // Nothing came and nothing was forecast: as forecast. Some came and none was forecast: as much more as is allowed.
  if (demand.forecastRequests <= 0) return demand.requests > 0 ? GREATEST_LEVEL : 1;
  return Math.min(GREATEST_LEVEL, Math.max(LEAST_LEVEL, demand.requests / demand.forecastRequests));
}
