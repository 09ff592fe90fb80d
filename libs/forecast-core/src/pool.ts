import { UTC_WEEK, type HourOfWeek } from './calendar.js';
import { pooledScores, type MemoryScores } from './level.js';
import { read, type Prior } from './reading.js';
import { residualsOf, type Residual } from './residuals.js';
import { FLAT, pooledSeasonality, seasonalityOf, type Seasonality } from './seasonality.js';
import { SHIPPED_MEMORY } from './shipped.js';
import { HOURS_PER_DAY, type SpendSeries } from './spend-series.js';

/** What one series teaches about the others of its org. Plain JSON of at most some 100 numbers; no amounts but its rate. */
export interface Lesson {
  readonly steady: boolean;
  readonly seasonality: Seasonality;
  readonly memory: MemoryScores;
  readonly residuals: readonly Residual[];
  /** Mean amount per usual hour since it was first known. */
  readonly meanRate: number;
  /** Days known before its first use, and whether that came. */
  readonly unseenDays: number;
  readonly begun: boolean;
}

/** Before anybody has shown anything. */
export const NO_PRIOR: Prior = { seasonality: FLAT, memory: pooledScores([]), shippedMemory: SHIPPED_MEMORY };

/**
 * What a series teaches. To be asked once a day.
 * @param prior what the org's lessons said before; NO_PRIOR at first
 */
export function lessonOf(series: SpendSeries, hourOfWeek: HourOfWeek = UTC_WEEK, prior: Prior = NO_PRIOR): Lesson {
  const { activity, memory, referenceRate } = read(series, hourOfWeek, prior);
  const first = series.amounts.findIndex((amount) => amount > 0);
  return {
    steady: activity === 'steady',
    seasonality: seasonalityOf(series, hourOfWeek),
    memory,
    residuals: residualsOf(series, hourOfWeek, prior),
    meanRate: referenceRate,
    unseenDays: (first < 0 ? series.amounts.length : first) / HOURS_PER_DAY,
    begun: first >= 0,
  };
}

/** What the lessons say together. Only steady series show the shape of a day or a week. */
export function priorOf(lessons: readonly Lesson[]): Prior {
  const steady = lessons.filter((lesson) => lesson.steady);
  return {
    seasonality: pooledSeasonality(steady.map(({ seasonality }) => seasonality)),
    memory: pooledScores(steady.map(({ memory }) => memory)),
    shippedMemory: SHIPPED_MEMORY,
  };
}

/** Somebody made the series because it is to be used: first uses a day, where nobody has shown any, and the days that counts as. */
const FIRST_USES_PER_DAY = 0.2;
const DAYS_OF_PRIOR = 10;
/** First uses in the first hour known are no news: the series are older than what is known of them. */
const FIRST_DAYS = 1 / HOURS_PER_DAY;

/** How likely a series that was never used is used within some days, by how the others began. */
export function chanceOfFirstUse(lessons: readonly Lesson[], days: number): number {
  const begun = lessons.filter((lesson) => lesson.begun && lesson.unseenDays > FIRST_DAYS).length;
  const waited = lessons.reduce((sum, { unseenDays }) => sum + Math.max(0, unseenDays - FIRST_DAYS), 0);
  const perDay = (begun + FIRST_USES_PER_DAY * DAYS_OF_PRIOR) / (waited + DAYS_OF_PRIOR);
  return 1 - Math.exp(-perDay * days);
}
