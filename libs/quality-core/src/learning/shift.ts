/** A two-sided cumulative sum of standardised surprises of one model (Page 1954). */
export interface ShiftDetector {
  better: number;
  worse: number;
  /** Outcomes since it began, or since the last shift. */
  outcomes: number;
  /** What each sum has counted since it was last 0: the likeliest time of the change is there. */
  rise: Run;
  fall: Run;
  /** When the last shift was complete, epoch ms; 0: there was none. */
  shiftedAtMs: number;
}

/** Outcomes in a row that a sum rests on. */
interface Run {
  outcomes: number;
  /** Of the first one, epoch ms. */
  sinceMs: number;
  /** Sums over the outcomes, 0..1 each. */
  expected: number;
  observed: number;
}

/** What says that a model answers otherwise. */
export interface ShiftEvidence {
  readonly direction: 'better' | 'worse';
  readonly outcomes: number;
  readonly sinceMs: number;
  /** Means of the same outcomes: what was expected of them, and what they were. */
  readonly expected: number;
  readonly observed: number;
  /** The sum, in standard deviations of an outcome; and from where on it is a shift. */
  readonly deviations: number;
  readonly threshold: number;
}

export interface WatchedOutcome {
  /** 0..1 */
  readonly expected: number;
  readonly observed: number;
  /** (observed - expected) / standard deviation of an outcome. */
  readonly surprise: number;
  readonly atMs: number;
}

const noRun = (): Run => ({ outcomes: 0, sinceMs: 0, expected: 0, observed: 0 });

export const noShift = (): ShiftDetector => ({
  better: 0,
  worse: 0,
  outcomes: 0,
  rise: noRun(),
  fall: noRun(),
  shiftedAtMs: 0,
});

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

export function watch(own: ShiftDetector, outcome: WatchedOutcome): ShiftEvidence | undefined {
  own.outcomes++;
  if (own.outcomes <= OUTCOMES_NEEDED) return undefined;
  const step = Math.min(MOST, Math.max(-MOST, outcome.surprise));
  own.better = Math.max(0, own.better + step - SLACK);
  own.worse = Math.max(0, own.worse - step - SLACK);
  count(own.rise, own.better, outcome);
  count(own.fall, own.worse, outcome);
  if (own.better < THRESHOLD && own.worse < THRESHOLD) return undefined;
  const direction = own.better >= THRESHOLD ? 'better' : 'worse';
  const { outcomes, sinceMs, expected, observed } = direction === 'better' ? own.rise : own.fall;
  const deviations = own[direction];
  restart(own, outcome.atMs);
  return {
    direction,
    outcomes,
    sinceMs,
    expected: expected / outcomes,
    observed: observed / outcomes,
    deviations,
    threshold: THRESHOLD,
  };
}

/** Begins anew after a shift. */
export function restart(own: ShiftDetector, shiftedAtMs: number): void {
  Object.assign(own, noShift(), { shiftedAtMs });
}

function count(run: Run, sum: number, { expected, observed, atMs }: WatchedOutcome): void {
  if (sum === 0) {
    Object.assign(run, noRun());
    return;
  }
  if (run.outcomes === 0) run.sinceMs = atMs;
  run.outcomes++;
  run.expected += expected;
  run.observed += observed;
}
