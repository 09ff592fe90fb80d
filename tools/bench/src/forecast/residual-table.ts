import {
  byValue,
  lessonOf,
  priorOf,
  quantile,
  UTC_WEEK,
  witnesses,
  type Residual,
  type ResidualQuantiles,
  type ShippedResiduals,
  type SpendSeries,
} from '@meritorder/forecast-core';
import type { HourlySeries } from './hourly-file.js';

const SHARES = Array.from({ length: 19 }, (_, i) => (i + 1) / 20);
const HORIZONS_DAYS = { steady: [4], sporadic: [1, 4, 8], silent: [1, 4, 8] } as const;
/** Series are begun anew at these hours too, so that short pasts are among them. */
const STARTS = [0, 72, 144];

/** The residuals that forecasts of these series have, as the core ships them: 19 scores each, the 5 % to 95 % quantiles. */
export function residualTable(series: readonly HourlySeries[]): ShippedResiduals {
  const perSeries = new Map<string, Residual[]>();
  for (const start of STARTS) {
    const known = series
      .filter(({ isSum, amounts }) => !isSum && amounts.length > start)
      .map(({ name, amounts }): [string, SpendSeries] => [name, { firstHour: start, amounts: amounts.slice(start) }]);
    const prior = priorOf(known.map(([, of]) => lessonOf(of, UTC_WEEK)));
    for (const [name, of] of known)
      perSeries.set(name, [...(perSeries.get(name) ?? []), ...lessonOf(of, UTC_WEEK, prior).residuals]);
  }
  const of = (activity: keyof typeof HORIZONS_DAYS): ResidualQuantiles[] =>
    HORIZONS_DAYS[activity].map((horizonDays) => {
      const sorted = byValue(witnesses([...perSeries.values()], { activity, hasSeason: false }, horizonDays));
      return { horizonDays, scores: SHARES.map((share) => Number(quantile(sorted, share).toFixed(2))) };
    });
  return { steady: of('steady'), sporadic: of('sporadic'), silent: of('silent') };
}
