import {
  forecastWindow,
  lessonOf,
  priorOf,
  SHIPPED_RESIDUALS,
  UTC_WEEK,
  type Lesson,
  type ShippedResiduals,
  type SpendSeries,
  type WindowForecast,
} from '@meritorder/forecast-core';
import type { HourlySeries } from './hourly-file.js';

/** Shares of the period after which its total is forecast. */
export const SEEN = [0.3, 0.5, 0.7] as const;

export interface Evaluation {
  readonly name: string;
  readonly total: number;
  /** |forecast - total| / total, after each of SEEN; null where the total is 0. */
  readonly errors: readonly (number | null)[];
  readonly runRateErrors: readonly (number | null)[];
  /** |forecast - total| in the series' own unit. */
  readonly misses: readonly number[];
  readonly runRateMisses: readonly number[];
  readonly covered: readonly boolean[];
  readonly activities: readonly string[];
}

export interface Period {
  /** The hour since 1970 that the series begin with: 0 where absent. The other two are counted from it. */
  readonly firstHour?: number;
  readonly startHour: number;
  readonly endHour: number;
}

/** How many hours of the series are known when a share of the period is over. */
export function seenUntil({ startHour, endHour }: Period, seen: number): number {
  return startHour + Math.max(1, Math.floor((endHour - startHour) * seen));
}

/**
 * Forecasts of each series' total of a period. What is known at a point, of the series and of the others, ends there: nothing
 * later is looked at but to judge.
 */
export function evaluate(
  series: readonly HourlySeries[],
  period: Period,
  shippedFor: (name: string) => ShippedResiduals = () => SHIPPED_RESIDUALS,
): Evaluation[] {
  const { firstHour = 0 } = period;
  const bySeen = SEEN.map((seen) => {
    const now = seenUntil(period, seen);
    const known = series.map(({ amounts }): SpendSeries => ({ firstHour, amounts: amounts.slice(0, now) }));
    const lessons = lessonsOf(series, known);
    return series.map((one, i) => judge(one, known[i]!, lessons, period, now, shippedFor(one.name)));
  });
  return series.map(({ name }, i) => {
    const cases = bySeen.map((all) => all[i]!);
    const share = (miss: number): number | null => (cases[0]!.total > 0 ? miss / cases[0]!.total : null);
    return {
      name,
      total: cases[0]!.total,
      errors: cases.map(({ miss }) => share(miss)),
      runRateErrors: cases.map(({ runRateMiss }) => share(runRateMiss)),
      misses: cases.map(({ miss }) => miss),
      runRateMisses: cases.map(({ runRateMiss }) => runRateMiss),
      covered: cases.map(({ covered }) => covered),
      activities: cases.map(({ forecast }) => forecast.basis.activity),
    };
  });
}

/** By series; a sum teaches nothing. */
function lessonsOf(series: readonly HourlySeries[], known: readonly SpendSeries[]): Map<string, Lesson> {
  const teachers = series.flatMap(({ isSum, name }, i) => (isSum ? [] : [[name, known[i]!] as const]));
  const first = teachers.map(([, of]) => lessonOf(of, UTC_WEEK));
  const prior = priorOf(first);
  return new Map(teachers.map(([name, of]) => [name, lessonOf(of, UTC_WEEK, prior)]));
}

interface Case {
  readonly total: number;
  readonly miss: number;
  readonly runRateMiss: number;
  readonly covered: boolean;
  readonly forecast: WindowForecast;
}

function judge(
  { name, amounts }: HourlySeries,
  known: SpendSeries,
  lessons: ReadonlyMap<string, Lesson>,
  { firstHour = 0, startHour, endHour }: Period,
  now: number,
  shipped: ShippedResiduals,
): Case {
  const others = [...lessons].filter(([of]) => of !== name).map(([, lesson]) => lesson);
  const window = { startHour: firstHour + startHour, endHour: firstHour + endHour };
  const forecast = forecastWindow({ series: known, window, nowHours: firstHour + now, lessons: others, shipped });
  const total = amounts.slice(startHour, endHour).reduce((sum, amount) => sum + amount, 0);
  const runRate = (forecast.spent / (now - startHour)) * (endHour - startHour);
  const { expected, low, high } = forecast.unconstrained;
  // Sums of floats in another order differ in the last digits.
  const tolerance = 1e-9 * total;
  return {
    total,
    miss: Math.abs(expected - total),
    runRateMiss: Math.abs(runRate - total),
    covered: low - tolerance <= total && total <= high + tolerance,
    forecast,
  };
}
