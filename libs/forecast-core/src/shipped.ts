import type { Activity } from './activity.js';
import { byValue, quantile, type Weighted } from './statistics.js';

/** How wrong forecasts were elsewhere: by activity and days ahead, scores (see Residual) of equal weight, by size. */
export type ShippedResiduals = Readonly<Record<Exclude<Activity, 'unseen'>, readonly ResidualQuantiles[]>>;

export interface ResidualQuantiles {
  readonly horizonDays: number;
  readonly scores: readonly number[];
}

/** The shipped scores count as so many of the org's other series. */
const SHIPPED_WITNESSES = 3;

/** The shipped scores at the horizon, drawn straight (in the logarithm of days) between the two nearest that were measured. */
export function shippedWitnesses(shipped: ShippedResiduals, activity: Activity, horizonDays: number): Weighted[] {
  if (activity === 'unseen') return [];
  const byHorizon = shipped[activity];
  const above = byHorizon.find((q) => q.horizonDays >= horizonDays) ?? byHorizon.at(-1);
  const below = byHorizon.findLast((q) => q.horizonDays <= horizonDays) ?? byHorizon[0];
  if (!above || !below) return [];
  const distance = Math.log(above.horizonDays / below.horizonDays);
  const share = distance > 0 ? Math.log(horizonDays / below.horizonDays) / distance : 0;
  return below.scores.map((score, i) => ({
    value: score + share * (above.scores[i]! - score),
    weight: SHIPPED_WITNESSES / below.scores.length,
  }));
}

/** So many witnesses of the org count as much as the shipped ones in how wide scores are spread. */
const WITNESSES_OF_SPREAD = 1;

/** Shipped scores as wide as the org's own, as far as those are known: what is taken from elsewhere is their shape. */
export function asWideAs(own: readonly Weighted[], shipped: readonly Weighted[]): Weighted[] {
  const weight = own.reduce((sum, one) => sum + one.weight, 0);
  const [mine, theirs] = [own, shipped].map((scores) => {
    const sorted = byValue(scores);
    return sorted.length < 3 ? 0 : quantile(sorted, 0.8) - quantile(sorted, 0.2);
  });
  if (!(mine! > 0 && theirs! > 0)) return [...shipped];
  const factor = (mine! / theirs!) ** (weight / (weight + WITNESSES_OF_SPREAD));
  return shipped.map((score) => ({ ...score, value: score.value * factor }));
}

/**
 * Residuals of the 43 tenants of ServeGen's m-small (14 days by the hour, requests; alibaba/ServeGen, Apache-2.0), the 5 % to 95 %
 * quantiles, as `npm run bench:forecast -- --residuals --hourly FILE` prints them.
 */
export const SHIPPED_RESIDUALS: ShippedResiduals = {
  steady: [
    {
      horizonDays: 4,
      scores: [
        -10.2, -7.49, -4.93, -3.23, -2.41, -1.85, -1.37, -0.99, -0.66, -0.37, -0.1, 0.23, 0.52, 0.81, 1.27, 1.95, 2.78,
        3.79, 5.38,
      ],
    },
  ],
  sporadic: [
    {
      horizonDays: 1,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -3.6, -0.75, -0.13, 1.05, 3.57, 5.52],
    },
    {
      horizonDays: 4,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -3.93, -0.84, -0.32, 0.55, 2.78, 4.24, 5.63],
    },
    {
      horizonDays: 8,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -1.43, -0.65, 0.19, 0.64, 2.99, 4.33, 5.63],
    },
  ],
  silent: [
    { horizonDays: 1, scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -3.77, -0.12, 1.52, 2.65] },
    {
      horizonDays: 4,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -2.25, -0.14, 0.57, 1.68, 2.65],
    },
    {
      horizonDays: 8,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -3.09, -0.17, 0.13, 0.73, 1.78, 2.67],
    },
  ],
};

/**
 * Of each competing level (see level.ts), the error assumed before any was seen, by the days ahead, of a calm level and then of a
 * changed one. That short memories do a little better for the next days held on the same tenants; how much less that is so for the
 * farther ones, and that changes mostly last, was chosen on generated series. Ten days of an org's own outweigh it.
 */
export const SHIPPED_LEVEL_ERRORS: readonly (readonly number[])[] = [
  [0.9, 0.9, 0.9, 1, 1.1, 1.2, 1.3, 1.3, 1],
  [1, 0.97, 0.95, 0.97, 1.02, 1.1, 1.15, 1.15, 1],
  [0.9, 0.9, 0.9, 1, 1.1, 1.2, 1.3, 1.3, 0.6],
  [1.1, 1.1, 1, 1, 1, 1, 1, 1, 0.75],
];
