import type { Activity } from './activity.js';
import type { Weighted } from './statistics.js';

/** How wrong forecasts were elsewhere: by activity and days ahead, scores (see Residual) of equal weight, by size. */
export type ShippedResiduals = Readonly<Record<Exclude<Activity, 'unseen'>, readonly ResidualQuantiles[]>>;

export interface ResidualQuantiles {
  readonly horizonDays: number;
  readonly scores: readonly number[];
}

/** The shipped scores count as so many of the org's other series. */
const SHIPPED_WITNESSES = 12;

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

/**
 * Residuals of the 43 tenants of ServeGen's m-small (14 days by the hour, requests; alibaba/ServeGen, Apache-2.0), the 5 % to 95 %
 * quantiles, as `npm run bench:forecast -- --residuals --hourly FILE` prints them.
 */
export const SHIPPED_RESIDUALS: ShippedResiduals = {
  steady: [
    {
      horizonDays: 4,
      scores: [
        -10.78, -7.39, -3.98, -2.75, -2.09, -1.58, -1.2, -0.84, -0.57, -0.29, -0.01, 0.32, 0.63, 0.99, 1.75, 2.6, 3.21,
        4.61, 9.22,
      ],
    },
  ],
  sporadic: [
    {
      horizonDays: 1,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -6.12, -3.31, -0.74, -0.08, 1.15, 3.43, 5.34],
    },
    {
      horizonDays: 4,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -1.43, -0.63, 0.18, 0.68, 3, 4.41, 5.67],
    },
    {
      horizonDays: 8,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -3.61, -0.79, -0.38, 0.55, 1.1, 3, 4.17, 5.62],
    },
  ],
  silent: [
    { horizonDays: 1, scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -0.16, 0.78, 2.65] },
    {
      horizonDays: 4,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -4.27, -0.43, 0.07, 0.69, 1.75, 2.38],
    },
    {
      horizonDays: 8,
      scores: [-7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -7, -6.9, -4.27, -0.86, -0.13, 0.31, 0.74, 1.44, 3.78],
    },
  ],
};

/**
 * By half-life (HALF_LIVES_DAYS), the errors assumed of a memory before any was seen: that levels wander, and short memories do
 * a little better, held on the same tenants. Ten days of an org's own outweigh it.
 */
export const SHIPPED_MEMORY: readonly number[] = [0.9, 0.9, 0.9, 1, 1.1, 1.2, 1.3];
