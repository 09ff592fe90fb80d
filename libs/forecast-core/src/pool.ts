import { UTC_WEEK, type HourOfWeek } from './calendar.js';
import { NO_GROWTH, pooledGrowth, type Growth } from './growth.js';
import { pooledFits, type SeasonFit } from './long-season.js';
import { pooledScores, type LevelScores } from './level.js';
import { jumpsOf, type Jumps } from './jumps.js';
import { read, type Prior } from './reading.js';
import { residualsOf, type Residual } from './residuals.js';
import { FLAT, pooledSeasonality, seasonalityOf, type Seasonality } from './seasonality.js';
import { HOURS_PER_DAY, type SpendSeries } from './spend-series.js';

/** What one series teaches about the others of its org. Plain JSON of at most some 100 numbers; no amounts but its rate. */
export interface Lesson {
  readonly steady: boolean;
  readonly seasonality: Seasonality;
  readonly levels: LevelScores;
  readonly growth: Growth;
  readonly fits: readonly SeasonFit[];
  readonly residuals: readonly Residual[];
  readonly jumps: Jumps;
  /** Mean amount per usual hour since it was first known. */
  readonly meanRate: number;
  /** Days known before its first use, and whether that came. */
  readonly unseenDays: number;
  readonly begun: boolean;
  /** Days known since then. */
  readonly usedDays: number;
}

/** Before anybody has shown anything. */
export const NO_PRIOR: Prior = {
  seasonality: FLAT,
  levels: pooledScores([]),
  growth: NO_GROWTH,
  fits: pooledFits([]),
};

/**
 * What a series teaches. To be asked once a day.
 * @param prior what the org's lessons said before; NO_PRIOR at first
 */
export function lessonOf(series: SpendSeries, hourOfWeek: HourOfWeek = UTC_WEEK, prior: Prior = NO_PRIOR): Lesson {
  const reading = read(series, hourOfWeek, prior);
  const { activity, levels, growth, fits, rate, meanRate } = reading;
  const first = series.amounts.findIndex((amount) => amount > 0);
  return {
    steady: activity === 'steady',
    seasonality: seasonalityOf(series, hourOfWeek),
    levels,
    growth,
    fits,
    residuals: residualsOf(series, hourOfWeek, prior),
    jumps: jumpsOf(reading),
    meanRate: activity === 'steady' ? rate : meanRate,
    unseenDays: (first < 0 ? series.amounts.length : first) / HOURS_PER_DAY,
    begun: first >= 0,
    usedDays: first < 0 ? 0 : (series.amounts.length - first) / HOURS_PER_DAY,
  };
}

/** What the lessons say together. Only steady series show the shape of a day or a week. */
export function priorOf(lessons: readonly Lesson[]): Prior {
  const steady = lessons.filter((lesson) => lesson.steady);
  return {
    seasonality: pooledSeasonality(steady.map(({ seasonality }) => seasonality)),
    levels: pooledScores(steady.map(({ levels }) => levels)),
    growth: pooledGrowth(steady.map(({ growth }) => growth)),
    fits: pooledFits(steady.map(({ fits }) => fits)),
  };
}

/** First uses in the first hour known are no news: the series are older than what is known of them. */
const FIRST_DAYS = 1 / HOURS_PER_DAY;

/** First uses come in waves, too: those of the last days, in half as many days each, say most of the next ones. */
const WAVE_HALF_LIFE_DAYS = 4;

/** Series that were known before their first use, which came. */
export function firstUsesSeen(lessons: readonly Lesson[]): number {
  return lessons.filter((lesson) => lesson.begun && lesson.unseenDays > FIRST_DAYS).length;
}

/**
 * How likely a series that was unseen for some days is used within the next ones. By itself it has waited for a random part of its
 * whole wait: days / (unseen + days). What the others show, who had the same days, counts as many days as it waited at most (the
 * predictive probability of a Poisson process whose rate has a gamma prior).
 */
export function chanceOfFirstUse(lessons: readonly Lesson[], unseenDays: number, days: number): number {
  const decay = Math.LN2 / WAVE_HALF_LIFE_DAYS;
  let [latest, latestDays] = [0, 0];
  for (const lesson of lessons) {
    const unseen = Math.max(0, lesson.unseenDays - FIRST_DAYS);
    latestDays += (Math.exp(-decay * lesson.usedDays) - Math.exp(-decay * (lesson.usedDays + unseen))) / decay;
    if (lesson.begun && unseen > 0) latest += Math.exp(-decay * lesson.usedDays);
  }
  const waited = Math.max(FIRST_DAYS, unseenDays);
  const ofOthers = Math.min(latestDays, waited);
  const uses = latestDays > 0 ? (latest / latestDays) * ofOthers : 0;
  return 1 - ((waited + ofOthers) / (waited + ofOthers + days)) ** (1 + uses);
}
