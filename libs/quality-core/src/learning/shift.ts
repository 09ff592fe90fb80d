/** A two-sided cumulative sum of standardised surprises of one model (Page 1954). */
export interface ShiftDetector {
  better: number;
  worse: number;
  /** Outcomes since it began, or since the last shift. */
  outcomes: number;
}

export const noShift = (): ShiftDetector => ({ better: 0, worse: 0, outcomes: 0 });

/**
 * A drift of a quarter of a standard deviation is let pass; a sum of 16 is a shift. By Siegmund's approximation that is one
 * false alarm in about 21,000 outcomes of a model that did not change, and a fall by one standard deviation is seen after
 * about 21, by half of one after about 64.
 */
const SLACK = 0.25;
const THRESHOLD = 16;
/** Before so many outcomes the predictions are still finding their place. */
const OUTCOMES_NEEDED = 30;
/** A single outcome counts for at most so many standard deviations. */
const MOST = 3;

/** @param surprise (outcome - prediction) / standard deviation of an outcome */
export function watch(own: ShiftDetector, surprise: number): 'better' | 'worse' | undefined {
  own.outcomes++;
  if (own.outcomes <= OUTCOMES_NEEDED) return undefined;
  const step = Math.min(MOST, Math.max(-MOST, surprise));
  own.better = Math.max(0, own.better + step - SLACK);
  own.worse = Math.max(0, own.worse - step - SLACK);
  if (own.better < THRESHOLD && own.worse < THRESHOLD) return undefined;
  const direction = own.better >= THRESHOLD ? 'better' : 'worse';
  Object.assign(own, noShift());
  return direction;
}
