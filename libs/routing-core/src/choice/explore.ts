import type { ExplorationSettings } from '@meritorder/contracts';
import { MOST_REVENUE_SHARE } from '@meritorder/margin-core';
import { invariant } from '@meritorder/kernel';
import { mostExplored } from './guard.js';
import type { Scored } from './score.js';

export const DEFAULT_EXPLORATION: ExplorationSettings = {
  spendShare: 0.02,
  spendOf: 'full',
  leastCostUsd: 0.00001,
  revenueShare: MOST_REVENUE_SHARE,
  requestShare: 0.1,
  holdOutShare: 0.01,
};

export interface Choice {
  readonly chosen: Scored;
  /** With which this candidate is chosen for such a request, over both draws: what off-policy estimates divide by. */
  readonly probability: number;
  readonly kind: 'best' | 'explored' | 'hold-out';
  /** Of every candidate, in the order given; they add up to 1. */
  readonly probabilities: readonly number[];
  /** What the guard of the income said; undefined: nothing is known of it, or nobody was to be explored. */
  readonly guard: ExplorationGuard | undefined;
}

export interface ExplorationGuard {
  /** What the request was taken to bring, USD. */
  readonly incomeUsd: number;
  /** With which each may be explored at most, in the order given; of the best and of those that are not explored undefined. */
  readonly most: readonly (number | undefined)[];
}

/**
 * Chooses among scored candidates. Each other than the best is explored as often as it may turn out better (normal tails of
 * the scores' deviations), as far as the two shares allow; what it costs more than the best counts against the spend share, so
 * that a dear candidate is tried rarely and a dominated one, once known, not at all. Where it is known what requests bring, all
 * that exploring costs stays within a share of that. Candidates below a tier's floor are not
 * among those given and are never explored.
 *
 * @param scored the best first, as `scoreCandidates` gives them; at least one
 * @param unlearned the id that would be chosen by priors alone, for the hold-out; when it is not among them, the best is taken
 * @param incomeUsd what the request brings if the best answers it, where that is known (`incomeOf`)
 * @param draws two independent numbers within [0, 1); `holdOut` may be a hash of the customer, so that the group stays the same
 */
export function choose(
  scored: readonly Scored[],
  unlearned: string | undefined,
  settings: ExplorationSettings,
  draws: { readonly holdOut: number; readonly explore: number },
  incomeUsd?: number,
): Choice {
  const best = scored[0];
  invariant(best, 'nothing to choose from');
  const reference = Math.max(
    0,
    scored.findIndex((s) => s.candidate.id === unlearned),
  );
  const { explored: learned, guard } = explorationOf(scored, best, settings, incomeUsd);
  const held = settings.holdOutShare;
  const probabilities = learned.map((p, i) => (1 - held) * p + (i === reference ? held : 0));
  const isHeld = draws.holdOut < held;
  const index = isHeld ? reference : drawn(learned, draws.explore);
  return {
    chosen: scored[index] as Scored,
    probability: probabilities[index] as number,
    kind: isHeld ? 'hold-out' : index === 0 ? 'best' : 'explored',
    probabilities,
    guard,
  };
}

/** The probability of each under the learned policy, and what the guard said. */
function explorationOf(
  scored: readonly Scored[],
  best: Scored,
  settings: ExplorationSettings,
  knownIncomeUsd: number | undefined,
): { explored: number[]; guard: ExplorationGuard | undefined } {
  const explored: number[] = [];
  let chances = 0;
  for (const s of scored) {
    const chance = s === best ? 0 : chanceOfBetter(s, best);
    chances += chance;
    explored.push(chance);
  }
  const allowanceUsd = settings.spendShare * costOfBest(best, settings);
  const incomeUsd = settings.revenueShare === undefined || chances === 0 ? undefined : knownIncomeUsd;
  const most: (number | undefined)[] | undefined = incomeUsd === undefined ? undefined : [];
  let requests = 0;
  for (let i = 0; i < explored.length; i++) {
    const chance = explored[i] as number;
    // Each has a part of the allowance by its chance: a dear one does not keep the others from being tried, nor does one that has
    // hardly any.
    const extraUsd = (scored[i] as Scored).spendUsd - best.spendUsd;
    let allowed =
      chance > 0 && extraUsd > 0 ? Math.min(chance, (allowanceUsd * chance) / (chances * extraUsd)) : chance;
    if (most !== undefined) {
      const guarded =
        chance === 0
          ? undefined
          : mostExplored(
              scored[i] as Scored,
              best,
              incomeUsd as number,
              ((settings.revenueShare as number) * chance) / chances,
            );
      most.push(guarded);
      allowed = Math.min(allowed, guarded ?? 1);
    }
    explored[i] = allowed;
    requests += allowed;
  }
  const kept = requests > settings.requestShare ? settings.requestShare / requests : 1;
  let elsewhere = 0;
  for (let i = 0; i < explored.length; i++) elsewhere += explored[i] = (explored[i] as number) * kept;
  explored[0] = 1 - elsewhere;
  return { explored, guard: most === undefined ? undefined : { incomeUsd: incomeUsd as number, most } };
}

/** Own hardware adds next to nothing for one request more, and a share of that tries nobody: its full cost is what it costs. */
function costOfBest({ spendUsd, candidate }: Scored, { spendOf, leastCostUsd }: ExplorationSettings): number {
  return Math.max(spendUsd, leastCostUsd, spendOf === 'full' ? candidate.fullUsd : 0);
}

/** Chances below .001 are not worth a request, nor a digit in the record. */
const LEAST_CHANCE_AT = 3.09;

function chanceOfBetter(one: Scored, best: Scored): number {
  const deviation = Math.sqrt(one.deviationUsd ** 2 + best.deviationUsd ** 2);
  const gap = best.scoreUsd - one.scoreUsd;
  return deviation === 0 || gap > LEAST_CHANCE_AT * deviation ? 0 : normalTail(gap / deviation);
}

/** P(Z > z) for z >= 0, to 1e-7: Abramowitz and Stegun 26.2.17. */
function normalTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  return density * t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
}

function drawn(probabilities: readonly number[], draw: number): number {
  let left = draw;
  for (let i = probabilities.length - 1; i > 0; i--) {
    left -= probabilities[i] as number;
    if (left < 0) return i;
  }
  return 0;
}
