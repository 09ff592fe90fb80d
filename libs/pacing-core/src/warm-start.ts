import { invariant } from '@meritorder/kernel';
import { bestAt, type LoggedRequest } from './logged-requests.js';
import { COLD_BOUNDS } from './price-bounds.js';

/** A budget that a first price is sought for. */
export interface BudgetToStart {
  budget: string;
  /** What one request may cost on average for the money to last, USD: what remains / requests forecast until the end. */
  affordableUsdPerRequest: number;
}

/** How much of the log a warm start reads: the last so many. More is slower and older. */
export const WARM_START_REQUESTS = 2_000;
const BISECTIONS = 40;
const ROUNDS = 12;
const SETTLED = 0.01;

/**
 * First prices by bisection on the last logged requests: for each budget the least price at which the requests that match it
 * cost on average no more than is affordable, given the prices of the other budgets along their path. The budgets take turns
 * until none moves by more than 1 %, the narrower of nested budgets before the wider, so that a team's own cap is its own.
 *
 * @returns a price for every budget; 0 where the money lasts without one, and for a budget that no logged request matches.
 * @throws InvariantError when what is affordable is not a number.
 */
export function warmStart(requests: readonly LoggedRequest[], budgets: readonly BudgetToStart[]): Map<string, number> {
  const log = requests.slice(-WARM_START_REQUESTS);
  const prices = new Map(budgets.map(({ budget }) => [budget, 0]));
  const turns = budgets
    .map((budget) => ({ ...budget, matching: log.filter((request) => request.budgets.includes(budget.budget)) }))
    .toSorted((a, b) => a.matching.length - b.matching.length);
  for (let round = 0; round < ROUNDS; round++) {
    let moved = false;
    for (const { budget, affordableUsdPerRequest, matching } of turns) {
      invariant(Number.isFinite(affordableUsdPerRequest), `what is affordable is a number: ${affordableUsdPerRequest}`);
      const before = prices.get(budget)!;
      prices.set(budget, 0);
      const others = matching.map((request) => request.budgets.reduce((sum, b) => sum + (prices.get(b) ?? 0), 0));
      const lambda = bisect(matching, others, affordableUsdPerRequest);
      prices.set(budget, lambda);
      moved ||= Math.abs(lambda - before) > SETTLED * before;
    }
    if (!moved) break;
  }
  return prices;
}

/** In the logarithm, for prices span orders of magnitude. */
function bisect(log: readonly LoggedRequest[], others: readonly number[], affordableUsd: number): number {
  const lasts = (lambda: number): boolean => {
    let spentUsd = 0;
    log.forEach((request, index) => (spentUsd += bestAt(request.candidates, others[index]! + lambda).expectedUsd));
    return spentUsd <= affordableUsd * log.length;
  };
  if (lasts(0)) return 0;
  let low = Math.log(COLD_BOUNDS.min);
  let high = Math.log(COLD_BOUNDS.max);
  if (!lasts(COLD_BOUNDS.max)) return COLD_BOUNDS.max;
  for (let step = 0; step < BISECTIONS; step++) {
    const middle = (low + high) / 2;
    if (lasts(Math.exp(middle))) high = middle;
    else low = middle;
  }
  return Math.exp(high);
}
