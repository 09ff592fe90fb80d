import { activityOf, type Activity } from './activity.js';
import type { HourOfWeek } from './calendar.js';
import {
  blocksOf,
  levelsAt,
  HALF_LIVES_DAYS,
  memoryWeights,
  scoresOf,
  type Block,
  type MemoryScores,
} from './level.js';
import { seasonalityOf, shrunkenSeasonality, usualByHourOfWeek, type Seasonality } from './seasonality.js';
import { HOURS_PER_DAY, type SpendSeries } from './spend-series.js';

/** What is believed before a series has shown it: what the org's other series show, and before those what is shipped. */
export interface Prior {
  readonly seasonality: Seasonality;
  readonly memory: MemoryScores;
  /** By half-life: errors of the memories where nobody in the org has shown any. */
  readonly shippedMemory: readonly number[];
}

/** A series as it stands at one hour: how much an hour of usual use is worth now, and what that rests on. */
export interface Reading {
  readonly activity: Activity;
  readonly seasonality: Seasonality;
  readonly usual: readonly number[];
  /** Expected amount of an hour of usual use from now on. */
  readonly rate: number;
  /** What forecasts of it are compared with: `rate` of a steady series, else its mean since it began, which is never 0. */
  readonly referenceRate: number;
  /** How much a day differs from the one before it, as a logarithm: .1 is 10 %. Half the spread of its middle half. */
  readonly volatility: number;
  readonly memory: MemoryScores;
  readonly knownDays: number;
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
  // Before its first use a steady series was not at 0, it was not there.
  const begun = activity === 'steady' ? amounts.findIndex((amount) => amount > 0) : 0;
  const blocks = blocksOf(amounts.slice(begun), usualThen.slice(begun));
  const memory = scoresOf(blocks);
  const weights = memoryWeights(memory, prior.memory, prior.shippedMemory);
  const level = HALF_LIVES_DAYS.reduce((sum, half, i) => sum + weights[i]! * (levelsAt(blocks, half).at(-1) ?? 0), 0);
  const rate = level * alive;
  return {
    activity,
    seasonality,
    usual,
    rate,
    referenceRate: activity === 'steady' ? rate : meanRate(blocks),
    volatility: volatilityOf(blocks),
    memory,
    knownDays: amounts.length / HOURS_PER_DAY,
  };
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
