import type { Activity } from './activity.js';
import type { HourOfWeek } from './calendar.js';
import { read, referenceOf, type Prior, type Reading } from './reading.js';
import { before, HOURS_PER_DAY, type SpendSeries } from './spend-series.js';
import type { Weighted } from './statistics.js';

/** How wrong one forecast was, in a measure that series of any size and restlessness share. Plain JSON. */
export interface Residual {
  readonly activity: Activity;
  readonly horizonDays: number;
  /** ln(actual / reference) of what came, of a steady series divided by what is usual at its volatility and horizon. */
  readonly score: number;
  /** The level changed in the meantime, and stayed. */
  readonly changed: boolean;
  readonly hasSeason: boolean;
  /** Days since it was known. */
  readonly daysAgo: number;
}

/** Nothing came: the logarithm of so small a share. */
const NOTHING = -7;
/**
 * Forecasts of a steady series grow uncertain with this power of the days ahead; of less than a day, or from less than a day of use,
 * they are the more uncertain the fewer the hours.
 */
const GROWTH = 0.15;
const WITHIN_DAY = -0.5;

/** What a score is multiplied by to be a logarithm again. */
export function scaleOf(
  { activity, usedDays }: Pick<Reading, 'activity' | 'usedDays'>,
  volatility: number,
  horizonDays: number,
): number {
  if (activity !== 'steady') return 1;
  const ofHorizon = horizonDays ** (horizonDays > 1 ? GROWTH : WITHIN_DAY);
  return volatility * ofHorizon * Math.min(1, usedDays) ** WITHIN_DAY;
}

/** The ratio to the reference that a score stands for. */
export function ratioOf(score: number, scale: number): number {
  const log = score * scale;
  return log <= NOTHING ? 0 : Math.exp(log);
}

export function scoreOf(ratio: number, scale: number): number {
  return Math.max(NOTHING, Math.log(ratio)) / scale;
}

const HORIZONS_DAYS = [0.25, 0.5, 1, 2, 4, 8, 16, 28];
/** Points in a series' past at which it is forecast again: they bound the work and the state. */
const MOST_ORIGINS = 10;

/**
 * Forecasts of a series from points in its past, none with less than a third of what is known now (those were worse for want of
 * a past), compared with what came: nothing is used at a point that was not known then,
 * but for the prior. At most 80.
 */
export function residualsOf(series: SpendSeries, hourOfWeek: HourOfWeek, prior: Prior): Residual[] {
  const days = Math.floor(series.amounts.length / HOURS_PER_DAY);
  const step = Math.max(1, Math.ceil((days - 1) / MOST_ORIGINS));
  // The series' volatility as it is known now: after a day or two it was not known yet, and that error is not of the kind looked for.
  const { volatility, changes } = read(series, hourOfWeek, prior);
  const residuals: Residual[] = [];
  for (let ago = 1; ago <= (2 * days) / 3; ago += step) {
    const origin = series.firstHour + series.amounts.length - ago * HOURS_PER_DAY;
    const reading = read(before(series, origin), hourOfWeek, prior);
    if (reading.activity === 'unseen' || reading.meanRate <= 0) continue;
    let [actual, usual] = [0, 0];
    for (let ahead = 0; ahead < ago * HOURS_PER_DAY; ahead += 1) {
      actual += series.amounts[origin + ahead - series.firstHour]!;
      usual += reading.usualAt(origin + ahead);
      const horizonDays = (ahead + 1) / HOURS_PER_DAY;
      if (HORIZONS_DAYS.includes(horizonDays))
        residuals.push({
          activity: reading.activity,
          horizonDays,
          score: scoreOf(
            actual / (referenceOf(reading, horizonDays) * usual),
            scaleOf(reading, volatility, horizonDays),
          ),
          hasSeason: reading.hasSeason,
          daysAgo: ago - horizonDays,
          changed: changes.some(({ daysAgo }) => daysAgo <= ago && daysAgo > ago - horizonDays),
        });
    }
  }
  return residuals;
}

/**
 * Scores to forecast with: what others of the same activity showed, most of all at about the same horizon.
 * @param unchanged only of those whose level did not change in the meantime
 * @param perSeries residuals of each series apart: however many it has, it is one witness
 */
export function witnesses(
  perSeries: readonly (readonly Residual[])[],
  { activity, hasSeason }: { activity: Activity; hasSeason: boolean },
  horizonDays: number,
  unchanged = false,
): Weighted[] {
  const widening = activity === 'steady' ? wideningOf(perSeries, horizonDays) : 0;
  // That errors even out is believed as far ahead as it was seen.
  const seen = Math.max(0, ...perSeries.flatMap((residuals) => residuals.map((residual) => residual.horizonDays)));
  const ahead = widening < 0 ? Math.min(horizonDays, seen) : horizonDays;
  return perSeries.flatMap((residuals) => {
    const near = residuals
      .filter((residual) => residual.activity === activity && !(unchanged && residual.changed))
      .map(({ score, horizonDays: at, daysAgo, hasSeason: knew }) => {
        const near = nearness(at, horizonDays);
        return {
          value: score * (ahead / at) ** widening,
          near,
          weight: near * 0.5 ** (daysAgo / HALF_LIFE_DAYS) * (knew === hasSeason ? 1 : OF_ANOTHER_KIND),
        };
      });
    const said = near.reduce((sum, residual) => sum + residual.near, 0);
    const total = near.reduce((sum, { weight }) => sum + weight, 0);
    return near.map(({ value, weight }) => ({ value, weight: (weight / total) * Math.min(1, said) }));
  });
}

/** How much errors so many days ahead say of those at another horizon. */
function nearness(days: number, horizonDays: number): number {
  return Math.exp(-(Math.log(days / horizonDays) ** 2) / 2);
}

/** Forecasts improve with what is known: those of long ago say less of today's. */
const HALF_LIFE_DAYS = 7;
/** One that knew of a long season counts so much for one that does not, and the other way round. */
const OF_ANOTHER_KIND = 0.1;

/** Sum of squares of horizons' logarithms before the org's own growth of errors is believed, and the smallest error there is. */
const WIDENING_PRIOR = 20;
const LEAST_SCORE = 0.05;
const WIDENING_RANGE = { least: -0.7, most: 0.5 };

/**
 * The power of the days ahead that the org's errors grow with beyond what scaleOf holds: levels that wander are the less sure
 * the farther ahead (.5 of a random walk), noise around one that stays is evened out (-.5).
 */
function wideningOf(perSeries: readonly (readonly Residual[])[], horizonDays: number): number {
  let [together, square] = [0, 0];
  for (const residuals of perSeries) {
    const points = residuals
      .filter((r) => r.activity === 'steady' && !r.changed)
      .map(
        (r) =>
          [
            Math.log(r.horizonDays),
            Math.log(Math.max(LEAST_SCORE, Math.abs(r.score))),
            nearness(r.horizonDays, horizonDays),
          ] as const,
      );
    const total = points.reduce((sum, [, , near]) => sum + near, 0);
    const middle = (i: 0 | 1): number => points.reduce((sum, p) => sum + p[2] * p[i], 0) / total;
    const [days, score] = [middle(0), middle(1)];
    for (const [x, y, near] of points) {
      together += near * (x - days) * (y - score);
      square += near * (x - days) ** 2;
    }
  }
  const { least, most } = WIDENING_RANGE;
  return Math.min(most, Math.max(least, together / (square + WIDENING_PRIOR)));
}
