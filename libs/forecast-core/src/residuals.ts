import type { Activity } from './activity.js';
import type { HourOfWeek } from './calendar.js';
import { read, type Prior, type Reading } from './reading.js';
import { before, HOURS_PER_DAY, type SpendSeries } from './spend-series.js';
import type { Weighted } from './statistics.js';

/** How wrong one forecast was, in a measure that series of any size and restlessness share. Plain JSON. */
export interface Residual {
  readonly activity: Activity;
  readonly horizonDays: number;
  /** ln(actual / reference) of what came, of a steady series divided by what is usual at its volatility and horizon. */
  readonly score: number;
}

/** Nothing came: the logarithm of so small a share. */
const NOTHING = -7;
/**
 * Forecasts of a steady series grow uncertain with this power of the days ahead; of less than a day, or from less than a day,
 * they are the more uncertain the fewer the hours.
 */
const GROWTH = 0.15;
const WITHIN_DAY = -0.5;

/** What a score is multiplied by to be a logarithm again. */
export function scaleOf(
  { activity, knownDays }: Pick<Reading, 'activity' | 'knownDays'>,
  volatility: number,
  horizonDays: number,
): number {
  if (activity !== 'steady') return 1;
  const ofHorizon = horizonDays ** (horizonDays > 1 ? GROWTH : WITHIN_DAY);
  return volatility * ofHorizon * Math.min(1, knownDays) ** WITHIN_DAY;
}

/** The ratio to the reference that a score stands for. */
export function ratioOf(score: number, scale: number): number {
  const log = score * scale;
  return log <= NOTHING ? 0 : Math.exp(log);
}

export function scoreOf(ratio: number, scale: number): number {
  return Math.max(NOTHING, Math.log(ratio)) / scale;
}

const HORIZONS_DAYS = [1, 2, 4, 8, 16, 28];
/** Points in a series' past at which it is forecast again: they bound the work and the state. */
const MOST_ORIGINS = 10;

/**
 * Forecasts of a series from points in its past, none with less than a third of what is known now (those were worse for want of
 * a past), compared with what came: nothing is used at a point that was not known then,
 * but for the prior. At most 60.
 */
export function residualsOf(series: SpendSeries, hourOfWeek: HourOfWeek, prior: Prior): Residual[] {
  const days = Math.floor(series.amounts.length / HOURS_PER_DAY);
  const step = Math.max(1, Math.ceil((days - 1) / MOST_ORIGINS));
  // The series' volatility as it is known now: after a day or two it was not known yet, and that error is not of the kind looked for.
  const { volatility } = read(series, hourOfWeek, prior);
  const residuals: Residual[] = [];
  for (let ago = 1; ago <= (2 * days) / 3; ago += step) {
    const origin = series.firstHour + series.amounts.length - ago * HOURS_PER_DAY;
    const reading = read(before(series, origin), hourOfWeek, prior);
    if (reading.activity === 'unseen' || reading.referenceRate <= 0) continue;
    let [actual, usual] = [0, 0];
    for (let ahead = 0; ahead < ago * HOURS_PER_DAY; ahead += 1) {
      actual += series.amounts[origin + ahead - series.firstHour]!;
      usual += reading.usual[hourOfWeek(origin + ahead)]!;
      const horizonDays = (ahead + 1) / HOURS_PER_DAY;
      if (HORIZONS_DAYS.includes(horizonDays))
        residuals.push({
          activity: reading.activity,
          horizonDays,
          score: scoreOf(actual / (reading.referenceRate * usual), scaleOf(reading, volatility, horizonDays)),
        });
    }
  }
  return residuals;
}

/**
 * Scores to forecast with: what others of the same activity showed, most of all at about the same horizon.
 * @param perSeries residuals of each series apart: however many it has, it is one witness
 */
export function witnesses(
  perSeries: readonly (readonly Residual[])[],
  activity: Activity,
  horizonDays: number,
): Weighted[] {
  return perSeries.flatMap((residuals) => {
    const near = residuals
      .filter((residual) => residual.activity === activity)
      .map(({ score, horizonDays: at }) => ({ value: score, weight: Math.exp(-(Math.log(at / horizonDays) ** 2)) }));
    const total = near.reduce((sum, { weight }) => sum + weight, 0);
    const most = Math.max(1, total);
    return near.map(({ value, weight }) => ({ value, weight: weight / most }));
  });
}
