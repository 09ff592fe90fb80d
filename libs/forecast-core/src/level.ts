import type { Change } from './changes.js';
import { SHIPPED_LEVEL_ERRORS } from './shipped.js';
import { HOURS_PER_DAY } from './spend-series.js';
import { mean, shrunken } from './statistics.js';

/** How fast the past is forgotten, as half-lives in days. Which one is right is learned: level that wanders needs a short memory, noise a long one. */
export const HALF_LIVES_DAYS = [0.25, 0.5, 1, 2, 4, 8, 16] as const;

/** One stretch of 24 hours (the oldest may be shorter) that ends where the next begins; the last ends now. */
export interface Block {
  /** What an hour would have used had it been a usual one: amount / usual amount. */
  readonly rate: number;
  /** In days, 0..1. */
  readonly length: number;
  readonly amount: number;
  /** Usual days that it holds: less than its length on a weekend. */
  readonly usualDays: number;
}

/** A single day counts at most as so many usual ones: one runaway job is no level. */
const MOST_DAYS_AT_ONCE = 3;

/**
 * The past in days that end now, oldest first: so none is cut off, and none mixes a night with two days.
 * @param usual for each amount, how much of the mean hour's use was usual then
 */
export function blocksOf(amounts: readonly number[], usual: readonly number[]): Block[] {
  const blocks: Block[] = [];
  for (let end = amounts.length; end > 0; end -= HOURS_PER_DAY) {
    let [amount, expected] = [0, 0];
    const start = Math.max(0, end - HOURS_PER_DAY);
    for (let i = start; i < end; i += 1) {
      amount += amounts[i]!;
      expected += usual[i]!;
    }
    blocks.push({
      amount,
      rate: amount / expected,
      length: (end - start) / HOURS_PER_DAY,
      usualDays: expected / HOURS_PER_DAY,
    });
  }
  return blocks.toReversed();
}

/** The level after each block, per usual hour, with one memory. A day's weight is what is usual of it: a Sunday says little. */
export function levelsAt(blocks: readonly Block[], halfLifeDays: number): number[] {
  let [sum, weight] = [0, 0];
  return blocks.map(({ rate, length, usualDays }) => {
    const kept = 0.5 ** (length / halfLifeDays);
    const most = sum > 0 ? (MOST_DAYS_AT_ONCE * sum) / weight : rate;
    sum = sum * kept + Math.min(rate, most) * usualDays;
    weight = weight * kept + usualDays;
    return sum / weight;
  });
}

/** The levels that compete: one by each memory, the mean of all, and the mean since the level last changed. */
export const LEVELS = HALF_LIVES_DAYS.length + 2;

/** Each of the competing levels after each block. */
function competing(blocks: readonly Block[], changes: readonly Change[], daysToSee: number): number[][] {
  const ofAll = levelsAt(blocks, Infinity);
  const since = [...ofAll];
  for (const { at } of changes)
    for (const [i, level] of levelsAt(blocks.slice(at), Infinity).entries())
      if (i + 1 >= daysToSee) since[at + i] = level;
  return [...HALF_LIVES_DAYS.map((halfLife) => levelsAt(blocks, halfLife)), ofAll, since];
}

/** How wrong each level was of the days ahead, as a share of the series' mean rate. */
export interface LevelErrors {
  readonly errors: readonly number[];
  /** Forecasts that were compared. */
  readonly count: number;
}

/**
 * By DAYS_AHEAD, calm and then changed: what is best for tomorrow need not be for the month's rest, and after a change it is to be
 * known whether changes last.
 */
export type LevelScores = readonly LevelErrors[];

/** Days ahead that levels are judged by. */
export const DAYS_AHEAD = [4, 12] as const;
/** So long a level is held to have changed of late. */
const DAYS_CHANGED = 14;
const STATES = [false, true].flatMap((isChanged) => DAYS_AHEAD.map((ahead) => ({ isChanged, ahead })));
/** One forecast is never held to be more wrong than this: it says that the level failed, not by how many digits. */
const MOST_WRONG = 2;

/** The competing levels after the last block, and how wrong they were so far. */
export function levelsOf(
  blocks: readonly Block[],
  changes: readonly Change[],
  daysToSee: number,
): { levels: number[]; scores: LevelScores; isChanged: boolean } {
  const after = competing(blocks, changes, daysToSee);
  const scale = mean(blocks.map(({ rate }) => rate));
  const sums = [0];
  for (const [i, { rate }] of blocks.entries()) sums.push(sums[i]! + rate);
  const changed = blocks.map((_, i) => changes.some(({ at }) => at + daysToSee <= i + 1 && at > i - DAYS_CHANGED));
  const scores = STATES.map(({ ahead, isChanged }): LevelErrors => {
    // Of fewer days ahead than half there is no word about the many.
    const origins = [...blocks.keys()]
      .slice(1, Math.max(1, blocks.length - ahead / 2))
      .filter((i) => changed[i] === isChanged);
    if (scale <= 0 || origins.length === 0) return { errors: after.map(() => 0), count: 0 };
    const errors = after.map((levels) =>
      mean(
        origins.map((i) => {
          const end = Math.min(blocks.length, i + 1 + ahead);
          const came = (sums[end]! - sums[i + 1]!) / (end - i - 1);
          return Math.min(MOST_WRONG, Math.abs(levels[i]! - came) / scale);
        }),
      ),
    );
    return { errors, count: origins.length };
  });
  return { levels: after.map((levels) => levels.at(-1) ?? 0), scores, isChanged: changed.at(-1) ?? false };
}

/** Own forecasts that the org's others, and others' those that are shipped, weigh as much as. */
const PRIOR_COUNT = 5;
/** How strongly the better level is preferred: the weights are errors to this power. */
const SHARPNESS = 8;

/** The scores of many series together, each with the same say. */
export function pooledScores(all: readonly LevelScores[]): LevelScores {
  return STATES.map((_, state) => {
    const usable = all.map((scores) => scores[state]!).filter(({ count }) => count > 0);
    return {
      errors: Array.from({ length: LEVELS }, (_, i) => mean(usable.map(({ errors }) => errors[i]!))),
      count: usable.reduce((sum, { count }) => sum + Math.min(1, count / PRIOR_COUNT), 0),
    };
  });
}

/** The level for so many days ahead: the better each was, for this series and the org's others, the larger its share. */
export function levelFor(
  levels: readonly number[],
  isChanged: boolean,
  own: LevelScores,
  pooled: LevelScores,
  days: number,
): number {
  const [near, far] = STATES.flatMap((state, i) =>
    state.isChanged === isChanged ? [blended(levels, own[i]!, pooled[i]!, SHIPPED_LEVEL_ERRORS[i]!)] : [],
  );
  const share = Math.log(days / DAYS_AHEAD[0]) / Math.log(DAYS_AHEAD[1] / DAYS_AHEAD[0]);
  const ofFar = Math.min(1, Math.max(0, share));
  return (1 - ofFar) * near! + ofFar * far!;
}

function blended(levels: readonly number[], own: LevelErrors, pooled: LevelErrors, shipped: readonly number[]): number {
  const errors = levels.map((_, i) => {
    const prior = shrunken(pooled.errors[i]! * pooled.count, pooled.count, shipped[i]!, PRIOR_COUNT);
    return Math.max(1e-6, shrunken(own.errors[i]! * own.count, own.count, prior, PRIOR_COUNT));
  });
  const least = Math.min(...errors);
  const weights = errors.map((error) => (least / error) ** SHARPNESS);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return levels.reduce((sum, level, i) => sum + (weights[i]! / total) * level, 0);
}
