import type { Basis } from '@meritorder/contracts';
import {
  priceBounds,
  spendingCurve,
  warmStart,
  type LoggedRequest,
  type PriceBounds,
  type SpendingCurve,
} from '@meritorder/pacing-core';
import type { LoggedDecision } from './traffic-facts.js';

/**
 * A first price from the last requests, given what the other budgets on their paths were priced at. Undefined: none of them
 * matched the budget with values that could be compared.
 */
export function firstPrice(
  log: readonly LoggedDecision[],
  { budget, basis }: { budget: string; basis: Basis },
  affordableUsdPerRequest: number,
): { lambda: number; bounds: PriceBounds; curve: SpendingCurve | undefined } | undefined {
  const requests = log.flatMap((decision) => requestOf(decision, budget, basis) ?? []);
  if (requests.length === 0) return undefined;
  const sought = warmStart(requests, [{ budget, affordableUsdPerRequest }]).get(budget)!;
  // Where not even the cheapest would last: the price at which the cheapest is taken, for a higher one changes nothing.
  const lambda = Math.min(sought, priceBounds(0, requests).max);
  const bounds = priceBounds(lambda, requests);
  return { lambda, bounds, curve: spendingCurve(requests, bounds) };
}

/** Value less everything that is not this budget's: what is left is value - (1 + lambda) x its cost, as the core compares it. */
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
