/**
 * How late conversions come, as the share of them in bins of delay; the bins widen by the square root of 2 up to the outcome
 * window, so that minutes and days are told apart alike. Shares are by the reversed hazard (Kalbfleisch and Lawless 1991, for
 * delays seen only as far as the young are old): the share of bin k among delays up to k is learned from the requests that are
 * old enough to have shown it, so that a start or a growth of traffic does not make delays look short.
 */
export const DELAY_BINS = 24;

/** The mean that delays are taken for before any is known, as a share of the outcome window. No data chose it. */
const PRIOR_MEAN_SHARE = 1 / 8;
/** Conversions that a parent's shares, or the prior's, count as. */
const PARENT_CONVERSIONS = 10;

/** The edges of the bins as shares of the window, the lower of the first to the upper of the last. */
const EDGES = Array.from({ length: DELAY_BINS + 1 }, (_, edge) => (edge === 0 ? 0 : 2 ** ((edge - DELAY_BINS) / 2)));

/** The bin of a delay within the window. */
export function delayBin(delayMs: number, windowMs: number): number {
  const bin = Math.ceil(DELAY_BINS - 1 + 2 * Math.log2(Math.max(delayMs, 1) / windowMs));
  return Math.min(DELAY_BINS - 1, Math.max(0, bin));
}

/**
 * How much of each bin requests have been through whose ages are spread evenly between two, each 0..1: the mean over the ages
 * of min(1, max(0, (age - lower) / (upper - lower))).
 */
export function seenOfBins(youngestMs: number, oldestMs: number, windowMs: number): number[] {
  const span = Math.max(1, oldestMs - youngestMs) / windowMs;
  const youngest = youngestMs / windowMs;
  const seen = Array.from({ length: DELAY_BINS }, () => 0);
  for (let bin = 0; bin < DELAY_BINS; bin++) {
    const [lower, upper] = [EDGES[bin] as number, EDGES[bin + 1] as number];
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

/** Exponential with a mean of an eighth of the window, cut off at the window. */
export const PRIOR_SHARES: readonly number[] = Array.from({ length: DELAY_BINS }, (_, bin) => {
  const reached = (edge: number) => 1 - Math.exp(-(EDGES[edge] as number) / PRIOR_MEAN_SHARE);
  return (reached(bin + 1) - reached(bin)) / reached(DELAY_BINS);
});

/**
 * The share of each bin among the conversions of the window; they add up to 1.
 *
 * @param came conversions by bin, decayed
 * @param exposed requests that have been through the bin, decayed alike
 * @param parent shares of the parent segment, or the prior's
 */
export function learnedShares(
  came: readonly number[],
  exposed: readonly number[],
  parent: readonly number[],
): number[] {
  const incidence = came.map((count, bin) => (count > 0 ? count / Math.max(count, exposed[bin] as number) : 0));
  const shares = Array.from({ length: DELAY_BINS }, () => 0);
  let incidenceUpTo = incidence.reduce((sum, share) => sum + share, 0);
  let parentUpTo = 1;
  let left = 1;
  for (let bin = DELAY_BINS - 1; bin > 0; bin--) {
    const parentHazard = parentUpTo > 0 ? Math.min(1, (parent[bin] as number) / parentUpTo) : 0;
    const counted = came[bin] as number;
    const amongThese = Math.max(counted, (exposed[bin] as number) * incidenceUpTo);
    const hazard = (PARENT_CONVERSIONS * parentHazard + counted) / (PARENT_CONVERSIONS + amongThese);
    shares[bin] = left * hazard;
    left -= shares[bin] as number;
    incidenceUpTo = Math.max(0, incidenceUpTo - (incidence[bin] as number));
    parentUpTo -= parent[bin] as number;
  }
  shares[0] = Math.max(0, left);
  return shares;
}
