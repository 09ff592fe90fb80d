import { invariant } from '@meritorder/kernel';

/**
 * Hedges that may be sent now: as a share of requests, and as expected money. Plain JSON. What a hedge may cost at most is held on
 * the request's own budgets like any attempt; this limits what is wasted.
 */
export interface HedgeBudget {
  readonly hedges: number;
  readonly usd: number;
  readonly atMs: number;
}

export interface HedgeLimits {
  readonly shareOfRequests: number;
  /** Hedges that a quiet time saves up. */
  readonly reserve: number;
  /** Expected cost of second calls; at most an hour of it is saved up. */
  readonly usdPerHour: number;
}

export const HEDGE_LIMITS: HedgeLimits = { shareOfRequests: 0.02, reserve: 5, usdPerHour: 1 };

/** A start: no hedge is earned yet, no money saved up. */
export function emptyHedgeBudget(nowMs: number, limits: HedgeLimits = HEDGE_LIMITS): HedgeBudget {
  const { shareOfRequests, reserve, usdPerHour } = limits;
  invariant(shareOfRequests >= 0 && reserve >= 0 && usdPerHour >= 0, 'limits of hedges are at least 0');
  return { hedges: 0, usd: 0, atMs: nowMs };
}

/** A request came. */
export function earnHedge(budget: HedgeBudget, nowMs: number, limits: HedgeLimits = HEDGE_LIMITS): HedgeBudget {
  const hours = Math.max(0, nowMs - budget.atMs) / 3_600_000;
  return {
    hedges: Math.min(limits.reserve, budget.hedges + limits.shareOfRequests),
    usd: Math.min(limits.usdPerHour, budget.usd + hours * limits.usdPerHour),
    atMs: Math.max(nowMs, budget.atMs),
  };
}

/**
 * A second call for a request whose first token has not come: the budget without it, or undefined where hedges or money are used up.
 * From its start on hedges are at most `shareOfRequests x requests`, and their expected cost at most `usdPerHour` an hour.
 * @param expectedUsd of the second call
 */
export function spendHedge(budget: HedgeBudget, expectedUsd: number): HedgeBudget | undefined {
  if (!(expectedUsd >= 0) || budget.hedges < 1 - 1e-9 || budget.usd < expectedUsd) return undefined;
  return { ...budget, hedges: Math.max(0, budget.hedges - 1), usd: budget.usd - expectedUsd };
}

/** A hedge that was spent and not sent, since no other backend could take it: as if it had not been spent. */
export function returnHedge(budget: HedgeBudget, expectedUsd: number, limits: HedgeLimits = HEDGE_LIMITS): HedgeBudget {
  invariant(expectedUsd >= 0, 'a hedge was spent for a cost that is none');
  return {
    ...budget,
    hedges: Math.min(limits.reserve, budget.hedges + 1),
    usd: Math.min(limits.usdPerHour, budget.usd + expectedUsd),
  };
}
