import { invariant } from '@meritorder/kernel';

/** Most of a segment's revenue that exploring may cost: economics, section 4. */
export const MOST_REVENUE_SHARE = 0.01;

/** The segment's usual backend against one that is explored. USD a request, expected. */
export interface ExplorationCost {
  /** What a request of the segment brings, all sources together; at least 0. */
  readonly revenueUsd: number;
  /** Explored less usual; below 0: the explored one is cheaper. */
  readonly extraCostUsd: number;
  /** What the answer is worth with the usual backend less with the explored one; below 0: the explored one is expected to do better. */
  readonly lostValueUsd: number;
}

/**
 * The highest probability of exploring at which its expected cost stays within the share of the segment's revenue. A candidate
 * that loses nothing is free to explore (1); a segment without revenue may not pay for any (0). For several candidates give
 * each a part of the share.
 *
 * @throws InvariantError on revenue below 0, a share outside of 0..1, or anything that is not finite
 */
export function mostExploration(cost: ExplorationCost, revenueShare = MOST_REVENUE_SHARE): number {
  const { revenueUsd, extraCostUsd, lostValueUsd } = cost;
  invariant(revenueUsd >= 0 && Number.isFinite(revenueUsd), `a revenue of ${revenueUsd} USD is not at least 0`);
  invariant(revenueShare >= 0 && revenueShare <= 1, `a share of ${revenueShare} is not within 0..1`);
  const lossUsd = extraCostUsd + lostValueUsd;
  invariant(Number.isFinite(lossUsd), `a loss of ${lossUsd} USD is not finite`);
  return lossUsd <= 0 ? 1 : Math.min(1, (revenueShare * revenueUsd) / lossUsd);
}
