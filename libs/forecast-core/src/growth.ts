import type { Block } from './level.js';
import { median } from './statistics.js';

const WEEK = 7;
const MOST_PAIRS = 28;
/** Growth is looked for after so many pairs of days, and whether it lasted in as many that came then. */
const PAIRS_TO_LAST = 14;

/** How a series grew of late, by days a week apart, which no weekday can pretend. Logarithms per day. Plain JSON. */
export interface Growth {
  readonly perDay: number;
  /** Pairs of days that it rests on; 0 says nothing. */
  readonly pairs: number;
  /** Sums over the past of growth x growth that came then, and of growth^2: their ratio is how far it lasts. */
  readonly lasted: number;
  readonly grew: number;
}

/** @param from the first block of the present level: what changed at once is no growth */
export function growthOf(blocks: readonly Block[], from: number): Growth {
  const logs: number[] = [];
  for (let i = from + WEEK; i < blocks.length; i += 1) {
    const [was, is] = [blocks[i - WEEK]!.rate, blocks[i]!.rate];
    if (was > 0 && is > 0 && blocks[i - WEEK]!.length === 1) logs.push(Math.log(is / was) / WEEK);
  }
  let [lasted, grew] = [0, 0];
  // Pairs that come then share no day with those before: noise of a shared one would be taken for the contrary of growth.
  for (let end = PAIRS_TO_LAST; end + WEEK + PAIRS_TO_LAST <= logs.length; end += WEEK) {
    const before = median(logs.slice(Math.max(0, end - MOST_PAIRS), end));
    lasted += before * median(logs.slice(end + WEEK, end + WEEK + PAIRS_TO_LAST));
    grew += before ** 2;
  }
  return { perDay: median(logs.slice(-MOST_PAIRS)), pairs: Math.min(MOST_PAIRS, logs.length), lasted, grew };
}

/** What the org's steady series show together. */
export interface PooledGrowth {
  /** Growth that they share, as far as it is to be believed. */
  readonly perDay: number;
  /** How far a series' own growth lasted, 0..1. */
  readonly lasts: number;
}

export const NO_GROWTH: PooledGrowth = { perDay: 0, lasts: 0 };

/** Series that must have shown something before their growth is shared. */
const LEAST_SERIES = 4;
const LEAST_PAIRS = 2;
/** All may have had an odd week at once: doubt shrinks with every week, as it does for weekdays. */
const DOUBT_PER_WEEK = 1 / 3;
/** Growth^2 that is held not to have lasted, before anybody showed that it does: .5 % a day, thrice. */
const DOUBT = 3 * 0.005 ** 2;

export function pooledGrowth(all: readonly Growth[]): PooledGrowth {
  const sum = (of: (growth: Growth) => number): number => all.reduce((total, growth) => total + of(growth), 0);
  const lasts = Math.min(1, Math.max(0, sum(({ lasted }) => lasted) / (sum(({ grew }) => grew) + DOUBT)));
  const known = all.filter(({ pairs }) => pairs >= LEAST_PAIRS);
  if (known.length < LEAST_SERIES) return { perDay: 0, lasts };
  const perDay = median(known.map((growth) => growth.perDay));
  const deviation = 1.4826 * median(known.map((growth) => Math.abs(growth.perDay - perDay)));
  // 1 - variance of the median by chance / its square (James and Stein).
  const byChance = ((Math.PI / 2) * deviation ** 2) / known.length;
  const agreed = perDay === 0 ? 0 : Math.max(0, 1 - byChance / perDay ** 2);
  const weeks = median(known.map(({ pairs }) => pairs)) / WEEK;
  return { perDay: perDay * agreed * (1 - DOUBT_PER_WEEK ** weeks), lasts };
}

/** Own growth that is no more than noise of so many pairs counts for less. */
const LEAST_OWN_PAIRS = 14;
const MOST_PER_DAY = 0.05;

/** Growth per day to expect: what all share, and of what is the series' own as much as such lasted so far. */
export function growthAhead(own: Growth, pooled: PooledGrowth): number {
  const ofOwn = own.pairs >= LEAST_OWN_PAIRS ? pooled.lasts * (own.perDay - pooled.perDay) : 0;
  return Math.min(MOST_PER_DAY, Math.max(-MOST_PER_DAY, pooled.perDay + ofOwn));
}

/** No growth goes on for ever: it fades with so many days. */
const FADES_DAYS = 40;

/** The level so many days from now (before now: negative) over that of now. */
export function grown(perDay: number, days: number): number {
  return Math.exp(perDay * FADES_DAYS * Math.sign(days) * (1 - Math.exp(-Math.abs(days) / FADES_DAYS)));
}
