import type { Basis } from '@meritorder/contracts';
import { LEAST_REQUESTS, learned, warmStart, type Learned, type LoggedRequest } from '@meritorder/pacing-core';
import type { LoggedDecision } from './traffic-facts.js';

/** A first price from the last requests. Undefined: too few of them matched the budget with values that could be compared. */
export function firstPrice(
  requests: readonly LoggedRequest[],
  budget: string,
  affordableUsdPerRequest: number,
): Learned | undefined {
  if (requests.length < LEAST_REQUESTS) return undefined;
  return learned(requests, warmStart(requests, [{ budget, affordableUsdPerRequest }]).get(budget)!);
}

/** The requests of a budget, given what the other budgets on their paths were priced at. */
export function requestsOf(
  log: readonly LoggedDecision[],
  { id, basis }: { id: string; basis: Basis },
): LoggedRequest[] {
  return log.flatMap((decision) => requestOf(decision, id, basis) ?? []);
}

/**
 * Value less everything that is not this budget's: what is left is value - (1 + lambda) x its cost, as the core compares it. Where
 * the objective does not count marginal cost, the 1 is made good in the value.
 */
function requestOf({ candidates, budgets }: LoggedDecision, budget: string, basis: Basis): LoggedRequest | undefined {
  if (!budgets.some((b) => b.budget === budget)) return undefined;
  const others = { cash: 0, full: 0 };
  for (const other of budgets) if (other.budget !== budget) others[other.basis] += other.shadowPrice;
  return {
    budgets: [budget],
    candidates: candidates.map(({ valueUsd, marginalUsd, cashUsd, fullUsd }) => {
      const expectedUsd = basis === 'cash' ? cashUsd : fullUsd;
      return {
        expectedUsd,
        valueUsd: valueUsd - (marginalUsd - expectedUsd) - others.cash * cashUsd - others.full * fullUsd,
      };
    }),
  };
}
