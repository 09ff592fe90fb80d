import type { Basis } from '@meritorder/contracts';
import { invariant } from '@meritorder/kernel';

/** What a further dollar of each basis costs beside itself: the sum over every budget that a candidate is charged to. */
export interface PathPrice {
  cash: number;
  full: number;
}

/** The expected cost of one candidate, USD: what it adds, what it pays others, and its share of everything. */
export interface ExpectedCost {
  marginalUsd: number;
  cashUsd: number;
  fullUsd: number;
}

/**
 * Adds the shadow prices of every budget along the path, each in its own basis. Added, not the largest: a dollar that an
 * organisation and a team are both short of is taken from both.
 *
 * @param budgets each budget that the candidate matches, with the price in force; unit: USD of value per USD of cost.
 * @throws InvariantError when a price is negative or not finite.
 */
export function pathPrice(budgets: Iterable<{ basis: Basis; lambda: number }>): PathPrice {
  const price: PathPrice = { cash: 0, full: 0 };
  for (const { basis, lambda } of budgets) {
    invariant(Number.isFinite(lambda) && lambda >= 0, `a shadow price is finite and not negative: ${lambda}`);
    price[basis] += lambda;
  }
  return price;
}

/**
 * What a candidate's money counts in a score, USD: its marginal cost once (k = 1), and what it takes from budgets at their
 * prices. A cash budget is not touched by what costs no cash, however dear its money has become.
 */
export function pricedCostUsd(cost: ExpectedCost, price: PathPrice): number {
  return cost.marginalUsd + price.cash * cost.cashUsd + price.full * cost.fullUsd;
}
