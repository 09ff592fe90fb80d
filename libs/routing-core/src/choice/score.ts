import type { CandidateNumbers, DecisionPolicy } from '@meritorder/contracts';

/** A backend that is able to serve the request, with what is expected of it. Costs are expected costs, never upper bounds. */
export interface ScoreCandidate extends CandidateNumbers {
  readonly id: string;
  /** Paid to others, USD. */
  readonly cashUsd: number;
  /** Its share of everything, own hardware included, USD. */
  readonly fullUsd: number;
}

export interface Scored {
  readonly candidate: ScoreCandidate;
  /** In the list that was given. */
  readonly place: number;
  /** USD; the highest is best. */
  readonly scoreUsd: number;
  readonly valueUsd: number;
  /** What its money counts: marginal cost once, and what it takes from budgets at their shadow prices; USD. */
  readonly moneyUsd: number;
  /** The same where the objective does not count marginal cost: what exploring adds to the spend. */
  readonly spendUsd: number;
  /** How far the score may be off for want of outcomes, as a standard deviation, USD. */
  readonly deviationUsd: number;
}

export interface BelowFloor {
  readonly candidate: ScoreCandidate;
  /** In the list that was given. */
  readonly place: number;
  readonly code: 'below-quality' | 'above-cost' | 'below-margin' | 'too-slow';
}

/**
 * Scores the candidates: value - marginal cost - shadow prices x cost - congestion - lateness (economics, section 1).
 * `cheapest` gives quality no value above the floor; `quality` takes k = 0, so that only scarce money counts; `value` and
 * `margin` take k = 1. A cash budget's price is not felt by what costs no cash. Where an answer is broken off at a deadline, its value
 * counts by the chance that it is in time.
 *
 * @returns the scored, the best first (of equals the cheaper, then by id), and those below the floors
 */
export function scoreCandidates(
  policy: DecisionPolicy,
  candidates: readonly ScoreCandidate[],
): { scored: Scored[]; refused: BelowFloor[] } {
  const scored: Scored[] = [];
  const refused: BelowFloor[] = [];
  for (let place = 0; place < candidates.length; place++) {
    const candidate = candidates[place] as ScoreCandidate;
    const code = floorMissed(policy, candidate);
    if (code !== undefined) refused.push({ candidate, place, code });
    else scored.push(scoreOf(policy, candidate, place));
  }
  scored.sort(bestFirst);
  return { scored, refused };
}

function bestFirst(a: Scored, b: Scored): number {
  return (
    b.scoreUsd - a.scoreUsd ||
    a.candidate.cashUsd - b.candidate.cashUsd ||
    a.candidate.fullUsd - b.candidate.fullUsd ||
    (a.candidate.id < b.candidate.id ? -1 : a.candidate.id > b.candidate.id ? 1 : 0)
  );
}

function floorMissed(policy: DecisionPolicy, candidate: ScoreCandidate): BelowFloor['code'] | undefined {
  if (policy.maxCostUsd !== null && candidate.cashUsd > policy.maxCostUsd) return 'above-cost';
  if (candidate.quality < policy.leastQuality) return 'below-quality';
  if (isTooSlow(policy, candidate)) return 'too-slow';
  const { chargedUsd, fullUsd } = candidate;
  if (policy.leastMarginShare !== null && chargedUsd !== undefined)
    return chargedUsd - fullUsd < policy.leastMarginShare * chargedUsd ? 'below-margin' : undefined;
  return undefined;
}

/** What is held against the ceilings of a policy. */
export type MeasuredTimes = Pick<CandidateNumbers, 'measuredSeconds' | 'measuredFirstTokenSeconds'>;

/** What was not measured lately is not too slow: nobody would ever learn that it is fast. */
export function isTooSlow(
  { maxLatencySeconds = Infinity, maxFirstTokenSeconds = Infinity }: DecisionPolicy,
  { measuredSeconds = 0, measuredFirstTokenSeconds = 0 }: MeasuredTimes,
): boolean {
  return measuredSeconds > maxLatencySeconds || measuredFirstTokenSeconds > maxFirstTokenSeconds;
}

/** Whether its answer is expected after the time at which the call is broken off. What is not known is taken to be in time. */
export function missesDeadline(
  { deadlineSeconds = Infinity }: DecisionPolicy,
  { latencySeconds = 0 }: Pick<CandidateNumbers, 'latencySeconds'>,
): boolean {
  return latencySeconds > deadlineSeconds;
}

/**
 * What an answer costs there by the score: money, congestion, and what is lost by coming late; USD. Where the policy puts no price on
 * coming late, its seconds count as those of others that wait do: of two replicas at one price the slower is the dearer.
 */
export function servingUsd(
  policy: DecisionPolicy,
  candidate: ScoreCandidate,
  seconds: number,
  usdPerSecondWaited: number,
): number {
  const inTime = scoreOf(policy, { ...candidate, inTimeChance: 1 }, 0);
  const timeUsd = policy.usdPerSecondLate > 0 ? 0 : usdPerSecondWaited * seconds;
  return inTime.valueUsd - scoreOf(policy, candidate, 0).scoreUsd + timeUsd;
}

function scoreOf(policy: DecisionPolicy, candidate: ScoreCandidate, place: number): Scored {
  const { objective } = policy;
  const usdPerQuality = objective === 'cheapest' ? 0 : policy.usdPerQuality;
  const margin = objective === 'margin';
  const { conversion = candidate.quality, conversionVariance = candidate.qualityVariance } = candidate;
  const { inTimeChance = 1 } = candidate;
  const valueUsd = inTimeChance * (margin ? policy.revenueUsd * conversion : usdPerQuality * candidate.quality);
  const scarceUsd = candidate.shadowCash * candidate.cashUsd + candidate.shadowFull * candidate.fullUsd;
  const spendUsd = candidate.marginalUsd + scarceUsd;
  const moneyUsd = objective === 'quality' ? scarceUsd : spendUsd;
  return {
    candidate,
    place,
    valueUsd,
    moneyUsd,
    spendUsd,
    scoreUsd:
      valueUsd -
      moneyUsd -
      candidate.usdPerGpuSecond * candidate.gpuSeconds -
      policy.usdPerSecondLate * candidate.lateSeconds,
    deviationUsd:
      inTimeChance *
      (margin
        ? Math.abs(policy.revenueUsd) * Math.sqrt(conversionVariance)
        : usdPerQuality * Math.sqrt(candidate.qualityVariance)),
  };
}
