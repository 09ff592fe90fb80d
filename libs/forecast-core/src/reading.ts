import { activityOf, type Activity } from './activity.js';
import type { HourOfWeek } from './calendar.js';
import { changesOf, daysToSee, type Change } from './changes.js';
import { blocksOf, DAYS_AHEAD, levelFor, levelsOf, type Block, type LevelScores } from './level.js';
import { growthAhead, growthOf, grown, type Growth, type PooledGrowth } from './growth.js';
import { dayAt, longSeasonOf, seasonFactor, type PooledFit, type SeasonFit } from './long-season.js';
import { seasonalityOf, shrunkenSeasonality, usualByHourOfWeek, type Seasonality } from './seasonality.js';
import { HOURS_PER_DAY, type SpendSeries } from './spend-series.js';

/** What is believed before a series has shown it: what the org's other series show, and before those what is shipped. */
export interface Prior {
  readonly seasonality: Seasonality;
  readonly levels: LevelScores;
  readonly growth: PooledGrowth;
  readonly fits: readonly PooledFit[];
}

/** A series as it stands at one hour: how much an hour of usual use is worth now, and what that rests on. */
export interface Reading {
  readonly activity: Activity;
  readonly seasonality: Seasonality;
  readonly usual: readonly number[];
  /** What an hour (since 1970, of now or later) uses over the present level's mean hour: of day, week, long season and growth. */
  readonly usualAt: (hour: number) => number;
  /** Expected amount of an hour of usual use in the next days. */
  readonly rate: number;
  /** The same of so many days from now on together. */
  readonly rateOver: (days: number) => number;
  /** Its mean since it began, which is never 0 then. */
  readonly meanRate: number;
  /** How much a day differs from the one before it, as a logarithm: .1 is 10 %. Half the spread of its middle half. */
  readonly volatility: number;
  readonly levels: LevelScores;
  readonly growth: Growth;
  readonly fits: readonly SeasonFit[];
  /** A season longer than a week is known. */
  readonly hasSeason: boolean;
  /** How its level changed, with the days since then. */
  readonly changes: readonly (Change & { readonly daysAgo: number })[];
  readonly knownDays: number;
  /** Of a steady one, those since it was first used. */
  readonly usedDays: number;
}

/** A series read with what is believed of its kind. The series ends now. */
export function read(series: SpendSeries, hourOfWeek: HourOfWeek, prior: Prior): Reading {
  const seasonality = shrunkenSeasonality(seasonalityOf(series, hourOfWeek), prior.seasonality);
  const usual = usualByHourOfWeek(seasonality);
  const { firstHour, amounts } = series;
  const usualThen = amounts.map((_, i) => usual[hourOfWeek(firstHour + i)]!);
  // By weekday alone: bursts that came at some hours so far would make silence at the others look usual.
  const usualDay = amounts.map((_, i) => seasonality.weekdays[Math.floor(hourOfWeek(firstHour + i) / HOURS_PER_DAY)]!);
  const { activity, alive } = activityOf(amounts, usualDay);
  // Before its first use a steady series was not at 0, it was not there; within the first day silence may be a night.
  const firstUse = amounts.findIndex((amount) => amount > 0);
  const begun = activity === 'steady' && amounts.length >= HOURS_PER_DAY ? firstUse : 0;
  const weekIsKnown = seasonality.weekdaysBelieved >= WEEK_IS_KNOWN;
  const endHour = firstHour + amounts.length;
  const plain = blocksOf(amounts.slice(begun), usualThen.slice(begun));
  const longSeason = longSeasonOf(plain, endHour);
  const ofSeason = seasonFactor(longSeason, prior.fits);
  const seasoned = ofSeason
    ? plain.map((block, i) => over(block, ofSeason(dayAt(endHour, plain.length - 1 - i))))
    : plain;
  const growth = growthOf(seasoned, changesOf(seasoned, weekIsKnown).at(-1)?.at ?? 0);
  const perDay = growthAhead(growth, prior.growth);
  const blocks = seasoned.map((block, i) => over(block, grown(perDay, i - seasoned.length + 0.5)));
  const changes = changesOf(blocks, weekIsKnown);
  const { levels, scores, isChanged } = levelsOf(blocks, changes, daysToSee(weekIsKnown));
  const rateOver = (days: number): number =>
    alive * levelFor(levels, isChanged && weekIsKnown, scores, prior.levels, days);
  return {
    activity,
    seasonality,
    usual,
    usualAt: (hour) =>
      usual[hourOfWeek(hour)]! *
      grown(perDay, (hour - endHour) / HOURS_PER_DAY) *
      (ofSeason ? ofSeason(Math.floor(hour / HOURS_PER_DAY)) : 1),
    rate: rateOver(DAYS_AHEAD[0]),
    rateOver,
    meanRate: meanRate(blocks),
    volatility: volatilityOf(blocks),
    levels: scores,
    growth,
    fits: longSeason.fits,
    hasSeason: ofSeason !== undefined,
    changes: changes.map((change) => ({ ...change, daysAgo: blocks.length - change.at })),
    knownDays: amounts.length / HOURS_PER_DAY,
    usedDays: (amounts.length - begun) / HOURS_PER_DAY,
  };
}

/** What forecasts are compared with: of a steady series the level, else its mean, which is not 0. */
export function referenceOf(reading: Reading, days: number): number {
  return reading.activity === 'steady' ? reading.rateOver(days) : reading.meanRate;
}

/** From so firm a belief in the weekdays on, two low days are not a weekend. */
const WEEK_IS_KNOWN = 0.8;

/** The block as it would be where so many times as much is usual. */
function over(block: Block, factor: number): Block {
  return { ...block, rate: block.rate / factor, usualDays: block.usualDays * factor };
}

function meanRate(blocks: readonly Block[]): number {
  let [amount, usualDays] = [0, 0];
  for (const block of blocks) {
    amount += block.amount;
    usualDays += block.usualDays;
  }
  return usualDays > 0 ? amount / (usualDays * HOURS_PER_DAY) : 0;
}

/** What is taken for the volatility of a series of a few days, and how many days that counts as. */
const USUAL_VOLATILITY = 0.1;
const DAYS_OF_PRIOR = 4;
const VOLATILITY_RANGE = { least: 0.01, most: 1 };

function volatilityOf(blocks: readonly Block[]): number {
  const full = blocks.filter(({ length }) => length === 1);
  const steps = full.slice(1).map(({ rate }, i) => {
    const { least, most } = VOLATILITY_RANGE;
    const was = full[i]!.rate;
    return rate > 0 && was > 0 ? Math.min(most, Math.max(least, Math.abs(Math.log(rate / was)))) : most;
  });
  // A mean of logarithms: one jump does not make a series jumpy.
  const sum = steps.reduce((total, step) => total + Math.log(step), 0);
  return Math.exp((sum + DAYS_OF_PRIOR * Math.log(USUAL_VOLATILITY)) / (steps.length + DAYS_OF_PRIOR));
}
