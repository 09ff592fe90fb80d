/** Decayed outcomes of one key: their number, sum and sum of squares. */
export interface Outcomes {
  weight: number;
  sum: number;
  squares: number;
}

/** With the answers that were counted, and how much of them complaints took: 1 of one that was worth nothing. Decayed too. */
export interface AnsweredOutcomes extends Outcomes {
  answers: number;
  lost: number;
}

/** A mean and how uncertain it is. */
export interface Mean {
  readonly mean: number;
  /** Of the mean, not of one outcome. */
  readonly variance: number;
}

/** Outcomes that a level's parent counts as: economics, section 3. */
export const PARENT_OUTCOMES = 20;
/** What the spread of outcomes is taken for before any is known, and the outcomes that this counts as. */
const PRIOR_NOISE = 0.1;
const PRIOR_NOISE_OUTCOMES = 10;

export const emptyOutcomes = (): Outcomes => ({ weight: 0, sum: 0, squares: 0 });

export const nothingAnswered = (): AnsweredOutcomes => ({ ...emptyOutcomes(), answers: 0, lost: 0 });

export function addOutcome(own: Outcomes, value: number, weight: number): void {
  own.weight += weight;
  own.sum += weight * value;
  own.squares += weight * value * value;
}

export function decayOutcomes(own: Outcomes, factor: number): void {
  own.weight *= factor;
  own.sum *= factor;
  own.squares *= factor;
}

export function decayAnswered(own: AnsweredOutcomes, factor: number): void {
  decayOutcomes(own, factor);
  own.answers *= factor;
  own.lost *= factor;
}

/** The variance of one outcome, shrunken to what 0..1 outcomes usually have. */
export function noiseOf({ weight, sum, squares }: Outcomes): number {
  const mean = weight > 0 ? sum / weight : 0;
  const within = Math.max(0, squares - mean * sum);
  return (within + PRIOR_NOISE * PRIOR_NOISE_OUTCOMES) / (weight + PRIOR_NOISE_OUTCOMES);
}

/**
 * One level of shrinkage: (S + k * parent) / (N + k), economics section 3. The variance is that of the same sum: what the
 * own outcomes leave open, and the parent's share in the mean of what is open about the parent.
 *
 * @param noise variance of one outcome
 * @param parentOutcomes outcomes that the parent counts as
 */
export function shrink(own: Outcomes | undefined, parent: Mean, noise: number, parentOutcomes: number): Mean {
  const weight = own?.weight ?? 0;
  const total = weight + parentOutcomes;
  if (total <= 0) return parent;
  const share = parentOutcomes / total;
  return {
    mean: ((own?.sum ?? 0) + parentOutcomes * parent.mean) / total,
    // A level without outcomes differs from its parent by as much as the parent's outcomes let it: noise / k.
    variance: noise / total + share * share * parent.variance,
  };
}
