import type { DecisionPolicy } from '@meritorder/contracts';
import { mostExploration } from '@meritorder/margin-core';
import type { Scored } from './score.js';

/**
 * What a request brings if the best answers it: what its customer is charged, and under `margin` what a conversion is expected to
 * bring; USD. Undefined: nobody says what such requests bring, so no share of it can be taken.
 */
export function incomeOf(policy: DecisionPolicy, { candidate, valueUsd }: Scored): number | undefined {
  const converts = policy.objective === 'margin' && policy.revenueUsd > 0;
  if (candidate.chargedUsd === undefined && !converts) return undefined;
  return Math.max(0, candidate.chargedUsd ?? 0) + (converts ? valueUsd : 0);
}

/**
 * With which probability a candidate may be explored at most, so that all that are explored together cost no more than the share
 * of the income: its marginal cost above the best's, and the value that is expected to be lost (economics, section 4).
 *
 * @param share of the income that this one may cost: its part of what all may
 */
export function mostExplored(one: Scored, best: Scored, incomeUsd: number, share: number): number {
  return mostExploration(
    {
      revenueUsd: incomeUsd,
      extraCostUsd: one.candidate.marginalUsd - best.candidate.marginalUsd,
      lostValueUsd: best.valueUsd - one.valueUsd,
    },
    share,
  );
}
