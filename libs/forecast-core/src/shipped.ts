import type { Activity } from './activity.js';
import { byValue, quantile, type Weighted } from './statistics.js';

/** How wrong forecasts were elsewhere: by activity and days ahead, scores (see Residual) of equal weight, by size. */
export type ShippedResiduals = Readonly<Record<SeenActivity, readonly ResidualQuantiles[]>>;

export type SeenActivity = Exclude<Activity, 'unseen'>;

export interface ResidualQuantiles {
  readonly horizonDays: number;
  readonly scores: readonly number[];
}

/** The shipped scores, however many series they are of, count as so many of the org's own: elsewhere is one neighbour. */
const SHIPPED_WITNESSES = 1;

/** The shipped scores at the horizon, drawn straight (in the logarithm of days) between the two nearest that were measured. */
export function shippedWitnesses(shipped: ShippedResiduals, activity: SeenActivity, horizonDays: number): Weighted[] {
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
        -7.94, -5.29, -3.41, -2.5, -2.01, -1.74, -1.33, -0.99, -0.68, -0.38, -0.11, 0.2, 0.52, 0.87, 1.25, 2.06, 3.04,
        4.36, 8.54,
      ],
    },
  ],
  sporadic: [
    {
      horizonDays: 1,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -5.03, -3.28, -0.47, 0.25, 3.18, 4.94],
    },
    {
      horizonDays: 4,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -5.81, -1.25, -0.43, 0.37, 2.15, 4.16, 5.61],
    },
    {
      horizonDays: 8,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -1.43, -0.68, 0.17, 0.63, 2.99, 4.29, 5.63],
    },
  ],
  silent: [
    { horizonDays: 1, scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -2.35, 0.13, 2.36] },
    { horizonDays: 4, scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -4.27, -0.16, 0.26, 1.3, 2.39] },
    {
      horizonDays: 8,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -3.54, -0.2, 0.11, 0.69, 1.73, 2.66],
    },
  ],
};

/**
 * Days of those 23 of the same tenants that are used in 100 hours or more, as [swing, peak's hour] of the first harmonic: use by
 * the hour is 1 + swing x cos(hours from the peak's).
 */
export const SHIPPED_DAYS: readonly (readonly [number, number])[] = [
  [0.01, 17],
  [0.07, 3],
  [0.07, 20],
  [0.17, 19],
  [0.17, 18],
  [0.18, 0],
  [0.2, 2],
  [0.24, 17],
  [0.29, 17],
  [0.37, 11],
  [0.37, 19],
  [0.41, 16],
  [0.51, 18],
  [0.55, 5],
  [0.6, 19],
  [0.72, 19],
  [0.76, 9],
  [0.78, 19],
  [0.83, 14],
  [0.84, 15],
  [1.08, 15],
  [1.4, 15],
  [1.65, 5],
];

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
