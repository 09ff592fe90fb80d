import { DAYS_AFTER } from './changes.js';
import type { Reading } from './reading.js';
import { byValue, quantile, type Weighted } from './statistics.js';

/** How often a series' level changed of late, and to what. Plain JSON. */
export interface Jumps {
  /** The latest, at most MOST_JUMPS. */
  readonly seen: readonly { readonly log: number; readonly daysAgo: number }[];
  /** Days in which one would have been seen. */
  readonly daysWatched: number;
}

const MOST_JUMPS = 16;

export function jumpsOf({ changes, knownDays }: Pick<Reading, 'changes' | 'knownDays'>): Jumps {
  return { seen: changes.slice(-MOST_JUMPS).map(({ log, daysAgo }) => ({ log, daysAgo })), daysWatched: knownDays };
}

/** Changes come in waves: those of the last days say most of the next ones, as far as there was anything to see in them. */
const WAVE_HALF_LIFE_DAYS = 4;
const HALF_LIFE_DAYS = 30;
/** Days of series in which the last days' changes outweigh those of before, and in which any outweigh that there are none. */
const WAVE_PRIOR_DAYS = 8;
const PRIOR_DAYS = 60;
/** What was seen tells of a rate only so far: half a change more may have been missed (Jeffreys' prior of a rate). */
const ONE_UNSEEN = 0.5;

/** Changes of level per day to expect of one series of the org. */
export function jumpsPerDay(all: readonly Jumps[]): number {
  const inDays = (halfLife: number): [number, number] => {
    const decay = Math.LN2 / halfLife;
    let [count, days] = [0, 0];
    for (const { seen, daysWatched } of all) {
      for (const { daysAgo } of seen) count += Math.exp(-decay * daysAgo);
      days += Math.max(0, Math.exp(-decay * DAYS_AFTER) - Math.exp(-decay * daysWatched)) / decay;
    }
    return [count, days];
  };
  const [count, days] = inDays(HALF_LIFE_DAYS);
  const [latest, latestDays] = inDays(WAVE_HALF_LIFE_DAYS);
  const usual = count / (days + PRIOR_DAYS);
  return (latest + ONE_UNSEEN + WAVE_PRIOR_DAYS * usual) / (latestDays + WAVE_PRIOR_DAYS);
}

/** Any time is as likely for a change, the last days too, where it would not have been seen yet; so many are looked at. */
const TIMES = 6;
const MOST_SIZES = 12;
const MOST_RATIOS = 40;

/** What the remainder's ratio is multiplied by, with the first change that may come; of weight 1 together. */
export function jumpFactors(all: readonly Jumps[], days: number): Weighted[] {
  const logs = byValue(
    all.flatMap(({ seen }) =>
      seen.map(({ log, daysAgo }) => ({ value: log, weight: 0.5 ** (daysAgo / HALF_LIFE_DAYS) })),
    ),
  );
  if (logs.length === 0) return [{ value: 1, weight: 1 }];
  const chance = 1 - Math.exp(-jumpsPerDay(all) * (days + DAYS_AFTER));
  const over = Array.from({ length: TIMES }, (_, i) =>
    Math.max(0, (((i + 0.5) / TIMES) * (days + DAYS_AFTER) - DAYS_AFTER) / days),
  );
  const sizes = thinned(logs, MOST_SIZES);
  const share = chance / TIMES / sizes.reduce((sum, { weight }) => sum + weight, 0);
  return byValue([
    { value: 1, weight: 1 - chance },
    ...sizes.flatMap(({ value, weight }) =>
      over.map((before) => ({ value: before + (1 - before) * Math.exp(value), weight: weight * share })),
    ),
  ]);
}

/** Each ratio with each factor. */
export function withFactors(ratios: readonly Weighted[], factors: readonly Weighted[]): Weighted[] {
  if (factors.length === 1) return [...ratios];
  return byValue(
    thinned(ratios, MOST_RATIOS).flatMap((ratio) =>
      factors.map((factor) => ({ value: ratio.value * factor.value, weight: ratio.weight * factor.weight })),
    ),
  );
}

/** As many values of equal weight, with the same total, as say the same. */
function thinned(sorted: readonly Weighted[], most: number): readonly Weighted[] {
  if (sorted.length <= most) return sorted;
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  return Array.from({ length: most }, (_, i) => ({ value: quantile(sorted, (i + 0.5) / most), weight: total / most }));
}
