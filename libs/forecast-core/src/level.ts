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

/** How wrong each memory was, as a share of the series' mean rate; by half-life. */
export interface MemoryScores {
  readonly errors: readonly number[];
  /** Forecasts that were compared. */
  readonly count: number;
}

/** Days ahead that a memory is judged by; they are what most of a week's or month's remainder consists of. */
const JUDGED_DAYS = 4;
/** One forecast is never held to be more wrong than this: it says that the memory failed, not by how many digits. */
const MOST_WRONG = 2;

export function scoresOf(blocks: readonly Block[]): MemoryScores {
  const scale = mean(blocks.map(({ rate }) => rate));
  if (scale <= 0 || blocks.length < 3) return { errors: HALF_LIVES_DAYS.map(() => 0), count: 0 };
  const errors = HALF_LIVES_DAYS.map((halfLife) => {
    const wrong = levelsAt(blocks, halfLife)
      .slice(0, -1)
      .map((level, i) => {
        const next = blocks.slice(i + 1, i + 1 + JUDGED_DAYS);
        return Math.min(MOST_WRONG, Math.abs(level - mean(next.map(({ rate }) => rate))) / scale);
      });
    return mean(wrong.slice(1));
  });
  return { errors, count: blocks.length - 2 };
}

/** Own forecasts that the org's others, and others' those that are shipped, weigh as much as. */
const PRIOR_COUNT = 5;
/** How strongly the better memory is preferred: the weights are errors to this power. */
const SHARPNESS = 8;

/** The scores of many series together, each with the same say. */
export function pooledScores(all: readonly MemoryScores[]): MemoryScores {
  const usable = all.filter(({ count }) => count > 0);
  return {
    errors: HALF_LIVES_DAYS.map((_, i) => mean(usable.map(({ errors }) => errors[i]!))),
    count: usable.reduce((sum, { count }) => sum + Math.min(1, count / PRIOR_COUNT), 0),
  };
}

/** The share each memory has in the level: the better it was, for this series and the org's others. */
export function memoryWeights(own: MemoryScores, pooled: MemoryScores, shipped: readonly number[]): number[] {
  const errors = HALF_LIVES_DAYS.map((_, i) => {
    const prior = shrunken(pooled.errors[i]! * pooled.count, pooled.count, shipped[i]!, PRIOR_COUNT);
    return Math.max(1e-6, shrunken(own.errors[i]! * own.count, own.count, prior, PRIOR_COUNT));
  });
  const least = Math.min(...errors);
  const weights = errors.map((error) => (least / error) ** SHARPNESS);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}
