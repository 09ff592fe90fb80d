import type { DecisionPolicy } from '@meritorder/contracts';
import type { ScoreCandidate } from '@meritorder/routing-core';

/** A cloud backend as the score takes it: one cost, in cash, at one shadow price; nothing crowded, nothing late. */
export function cloudCandidate(
  id: string,
  {
    quality,
    variance,
    costUsd,
    shadowPrice,
  }: { quality: number; variance: number; costUsd: number; shadowPrice: number },
): ScoreCandidate {
  return {
    id,
    quality,
    qualityVariance: variance,
    priorQuality: quality,
    outcomes: 0,
    marginalUsd: costUsd,
    cashUsd: costUsd,
    fullUsd: costUsd,
    shadowCash: shadowPrice,
    shadowFull: 0,
    gpuSeconds: 0,
    usdPerGpuSecond: 0,
    lateSeconds: 0,
  };
}

/** Best value, where a right answer is worth so much. */
export function valuePolicy(usdPerQuality: number, leastQuality = 0): DecisionPolicy {
  return {
    objective: 'value',
    tier: null,
    usdPerQuality,
    revenueUsd: 0,
    leastQuality,
    maxCostUsd: null,
    usdPerSecondLate: 0,
    leastMarginShare: null,
    exploration: null,
  };
}
