/**
 * How late conversions come, as the share of them in bins of delay; the bins widen by the square root of 2 up to the outcome
 * window, so that minutes and days are told apart alike. Shares are by the reversed hazard (Kalbfleisch and Lawless 1991, for
 * delays seen only as far as the young are old): the share of bin k among delays up to k is learned from the requests that are
 * old enough to have shown it, so that a start or a growth of traffic does not make delays look short.
 */
export const DELAY_BINS = 24;

/** Conversions that the shares of a parent, or of a supposed distribution, count as. */
const PARENT_CONVERSIONS = 10;

/** The edges of the bins as shares of the window, the lower of the first to the upper of the last. */
export const EDGES: readonly number[] = Array.from({ length: DELAY_BINS + 1 }, (_, edge) =>
  edge === 0 ? 0 : 2 ** ((edge - DELAY_BINS) / 2),
);

/** The bin of a delay within the window. */
export function delayBin(delayMs: number, windowMs: number): number {
  const bin = Math.ceil(DELAY_BINS - 1 + 2 * Math.log2(Math.max(delayMs, 1) / windowMs));
  return Math.min(DELAY_BINS - 1, Math.max(0, bin));
}

/**
 * How much of each bin requests have been through whose ages are spread evenly between two, each 0..1: the mean over the ages
 * of min(1, max(0, (age - lower) / (upper - lower))). All have been through the first: what comes that quickly comes at once, as
 * far as bins can tell, and a conversion is never ahead of the request that it is of.
 */
export function seenOfBins(youngestMs: number, oldestMs: number, windowMs: number): number[] {
  const span = Math.max(1, oldestMs - youngestMs) / windowMs;
  const youngest = youngestMs / windowMs;
  const seen = Array.from<number>({ length: DELAY_BINS }).fill(0);
  seen[0] = 1;
  for (let bin = 1; bin < DELAY_BINS; bin++) {
    const lower = EDGES[bin] as number;
    const upper = EDGES[bin + 1] as number;
    if (youngest + span <= lower) break;
    // Of a bin that the youngest is through, all is seen; rounding must not say less.
    seen[bin] = youngest >= upper ? 1 : (passed(youngest + span, lower, upper) - passed(youngest, lower, upper)) / span;
  }
  return seen;
}

/** Integral of the ramp from 0 at `lower` to 1 at `upper`, up to an age. */
function passed(age: number, lower: number, upper: number): number {
  if (age <= lower) return 0;
  return age >= upper ? age - (lower + upper) / 2 : (age - lower) ** 2 / (2 * (upper - lower));
}

/** The share of each bin among the conversions of the window, and what it rests on. */
export interface LearnedDelay {
  /** They add up to 1. */
  readonly shares: readonly number[];
  /** The share up to each bin, as a standard deviation of its logarithm (Greenwood's formula, of the reversed hazard). */
  readonly deviations: readonly number[];
}

/** By bin, the share of the requests that have been through it which converted in it. */
export function incidenceOf(came: readonly number[], exposed: readonly number[]): number[] {
  return came.map((count, bin) => (count > 0 ? count / Math.max(count, exposed[bin] as number) : 0));
}

/** Rounding must not make all of a bin, of which nothing could be said. */
const MOST_HAZARD = 1 - 1e-6;

/**
 * @param came conversions by bin, decayed
 * @param exposed requests that have been through the bin, decayed alike
 * @param incidence of these
 * @param parent shares that count where too little was seen
 */
export function learnedShares(
  came: readonly number[],
  exposed: readonly number[],
  incidence: readonly number[],
  parent: readonly number[],
): LearnedDelay {
  const shares = Array.from<number>({ length: DELAY_BINS }).fill(0);
  const deviations = shares.slice();
  let incidenceUpTo = 0;
  for (const share of incidence) incidenceUpTo += share;
  let parentUpTo = 1;
  let left = 1;
  let variance = 0;
  for (let bin = DELAY_BINS - 1; bin > 0; bin--) {
    const parentHazard = parentUpTo > 0 ? Math.min(1, (parent[bin] as number) / parentUpTo) : 0;
    const counted = came[bin] as number;
    const amongThese = PARENT_CONVERSIONS + Math.max(counted, (exposed[bin] as number) * incidenceUpTo);
    const hazard = Math.min(MOST_HAZARD, (PARENT_CONVERSIONS * parentHazard + counted) / amongThese);
    shares[bin] = left * hazard;
    deviations[bin] = Math.sqrt(variance);
    variance += hazard / ((1 - hazard) * amongThese);
    left -= shares[bin] as number;
    incidenceUpTo = Math.max(0, incidenceUpTo - (incidence[bin] as number));
    parentUpTo -= parent[bin] as number;
  }
  shares[0] = Math.max(0, left);
  deviations[0] = Math.sqrt(variance);
  return { shares, deviations };
}
