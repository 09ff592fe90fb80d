import { DELAY_BINS, EDGES, incidenceOf, learnedShares, type LearnedDelay } from './delay.js';

/** One distribution that delays may have, and how likely that is. */
export interface SupposedDelay extends LearnedDelay {
  readonly chance: number;
}

/**
 * Scales from half the outcome window to below its first bin, each half of the one before and as likely as any: minutes, hours and
 * days are all usual. Shape 1: exponential; .5: many at once, and a long tail (Weibull). No data chose them.
 */
const SCALES = Array.from({ length: 13 }, (_, i) => 2 ** -(i + 1));
const SHAPES = [1, 0.5];
/** Of each distribution this part is spread over all bins, so that a single conversion out of its reach does not refute it. */
const UNFORESEEN_SHARE = 0.01;

/** Shares of a Weibull distribution that is cut off at the window. */
function weibull(scale: number, shape: number): number[] {
  const reached = (edge: number) => 1 - Math.exp(-((edge / scale) ** shape));
  const all = reached(1);
  return Array.from({ length: DELAY_BINS }, (_, bin) => {
    const share = (reached(EDGES[bin + 1] as number) - reached(EDGES[bin] as number)) / all;
    return (1 - UNFORESEEN_SHARE) * share + UNFORESEEN_SHARE / DELAY_BINS;
  });
}

/** What delays may be like before any is known. */
const USUAL = SHAPES.flatMap((shape) => SCALES.map((scale) => withLogs(weibull(scale, shape))));
/** Of a segment: that delays are as in the segment above, against all of the usual ones. */
const AS_ABOVE_CHANCE = 0.5;

/** Shares before any conversion. */
export const PRIOR_SHARES: readonly number[] = meanShares(
  USUAL.map(({ shares }) => ({ shares, chance: 1 / USUAL.length })),
);

/**
 * Gamma prior of the rate in this weighing: a mean of 2.5 %, and above 20 % seldom. It says how long delays can be at most: of 400
 * requests that are seconds old and 40 conversions, a mean of days would make thousands. Weak: 20 ripe requests outweigh it.
 */
const RATE_SHAPE = 0.5;
const RATE_TRIALS = 20;
/** Distributions that are less likely than the likeliest by this are left out. */
const LEAST_CHANCE = 0.01;

/**
 * What the delays may be, with their chances given what came. Conversions of a bin are taken as Poisson with the mean rate x
 * requests that have been through it x its share, so a distribution is likely by the delays that it would have shown among
 * requests as young as these (right truncation), and by the rate that it would need for so many conversions; the rate is
 * integrated out. Each is then corrected by what was seen of the bins.
 *
 * @param above shares of the segment above; undefined: there is none
 */
export function supposedDelays(
  came: readonly number[],
  exposed: readonly number[],
  above: readonly number[] | undefined,
): SupposedDelay[] {
  const usual = (above === undefined ? 1 : 1 - AS_ABOVE_CHANCE) / USUAL.length;
  const all = USUAL.map((one) => ({ ...one, log: Math.log(usual) + logLikelihood(one, came, exposed) }));
  if (above) {
    const one = withLogs(above);
    all.push({ ...one, log: Math.log(AS_ABOVE_CHANCE) + logLikelihood(one, came, exposed) });
  }
  const incidence = incidenceOf(came, exposed);
  const most = Math.max(...all.map(({ log }) => log));
  const left = all.filter(({ log }) => log - most >= Math.log(LEAST_CHANCE));
  const sum = left.reduce((total, { log }) => total + Math.exp(log - most), 0);
  return left.map(({ shares, log }) => ({
    ...learnedShares(came, exposed, incidence, shares),
    chance: Math.exp(log - most) / sum,
  }));
}

interface SharesAndLogs {
  readonly shares: readonly number[];
  readonly logs: readonly number[];
}

function withLogs(shares: readonly number[]): SharesAndLogs {
  return { shares, logs: shares.map((share) => Math.log(Math.max(share, UNFORESEEN_SHARE / DELAY_BINS))) };
}

function logLikelihood({ shares, logs }: SharesAndLogs, came: readonly number[], exposed: readonly number[]): number {
  let log = 0;
  let conversions = 0;
  let ripe = 0;
  for (let bin = 0; bin < DELAY_BINS; bin++) {
    const count = came[bin] as number;
    log += count * (logs[bin] as number);
    conversions += count;
    ripe += (exposed[bin] as number) * (shares[bin] as number);
  }
  return log - (RATE_SHAPE + conversions) * Math.log(RATE_TRIALS + ripe);
}

/** The share of each bin that is to be expected. */
export function meanShares(supposed: readonly Pick<SupposedDelay, 'shares' | 'chance'>[]): number[] {
  const mean = Array.from<number>({ length: DELAY_BINS }).fill(0);
  for (const { shares, chance } of supposed)
    for (let bin = 0; bin < DELAY_BINS; bin++) mean[bin] = (mean[bin] as number) + chance * (shares[bin] as number);
  return mean;
}
