/** What a route or tier is after; each is a preset of the one score (economics, section 1). */
export type Objective = 'cheapest' | 'quality' | 'value' | 'margin';

/** What a good answer to the request is worth, and what it may cost. USD. */
export interface ScoreRequest {
  readonly objective: Objective;
  /** What a quality of 1 is worth: the caller's `value_usd`, or the `usd_per_quality_point` of the route or tier. */
  readonly usdPerQuality: number;
  /** Under `margin`: what a conversion brings. */
  readonly revenueUsd?: number;
  /** The tier's or the caller's, whichever is higher; 0..1. */
  readonly leastQuality: number;
  /** Of the caller's own cap; undefined: none. */
  readonly maxCostUsd?: number | undefined;
  /** What a second beyond the deadline costs. */
  readonly usdPerSecondLate: number;
}

/** A backend that is able to serve the request, with what is expected of it. */
export interface ScoreCandidate {
  readonly id: string;
  /** 0..1 */
  readonly quality: number;
  /** Of the expectation; 0: certain. */
  readonly qualityVariance: number;
  /** Under `margin`: P(conversion | segment, backend), 0..1. */
  readonly conversion?: number;
  /** Expected cost, never the upper bound. */
  readonly costUsd: number;
  /** Sum of the shadow prices of the budgets that this candidate would draw on; at least 0. */
  readonly shadowPrice: number;
  /** Local capacity that it takes, and its congestion price. */
  readonly gpuSeconds: number;
  readonly usdPerGpuSecond: number;
  /** E[max(0, latency - deadline)]. */
  readonly lateSeconds: number;
}

export interface Scored {
  readonly candidate: ScoreCandidate;
  /** USD; the highest is best. */
  readonly scoreUsd: number;
  readonly valueUsd: number;
  /** How far the score may be off for want of outcomes, as a standard deviation, USD. */
  readonly deviationUsd: number;
}

export interface BelowFloor {
  readonly candidate: ScoreCandidate;
  readonly code: 'below-quality' | 'above-cost';
}

/**
 * Scores the candidates: value - (k + shadow price) * cost - congestion - lateness. `cheapest` gives quality no value above the
 * floor; `quality` takes k = 0, so that only scarce money counts; `value` and `margin` take k = 1.
 *
 * @returns the scored, the best first (of equals the cheaper, then by id), and those below the floors
 */
export function scoreCandidates(
  request: ScoreRequest,
  candidates: readonly ScoreCandidate[],
): { scored: Scored[]; refused: BelowFloor[] } {
  const scored: Scored[] = [];
  const refused: BelowFloor[] = [];
  for (const candidate of candidates) {
    if (request.maxCostUsd !== undefined && candidate.costUsd > request.maxCostUsd)
      refused.push({ candidate, code: 'above-cost' });
    else if (candidate.quality < request.leastQuality) refused.push({ candidate, code: 'below-quality' });
    else scored.push(scoreOf(request, candidate));
  }
  scored.sort(
    (a, b) =>
      b.scoreUsd - a.scoreUsd ||
      a.candidate.costUsd - b.candidate.costUsd ||
      (a.candidate.id < b.candidate.id ? -1 : a.candidate.id > b.candidate.id ? 1 : 0),
  );
  return { scored, refused };
}

function scoreOf(request: ScoreRequest, candidate: ScoreCandidate): Scored {
  const { objective, usdPerQuality, revenueUsd = 0 } = request;
  const worth = objective === 'cheapest' ? 0 : usdPerQuality;
  const valueUsd =
    objective === 'margin' ? revenueUsd * (candidate.conversion ?? candidate.quality) : worth * candidate.quality;
  const money = (objective === 'quality' ? 0 : 1) + candidate.shadowPrice;
  return {
    candidate,
    valueUsd,
    scoreUsd:
      valueUsd -
      money * candidate.costUsd -
      candidate.usdPerGpuSecond * candidate.gpuSeconds -
      request.usdPerSecondLate * candidate.lateSeconds,
    deviationUsd: (objective === 'margin' ? revenueUsd : worth) * Math.sqrt(candidate.qualityVariance),
  };
}
