import type { Block } from './level.js';
import { HOURS_PER_DAY } from './spend-series.js';
import { mean } from './statistics.js';

/** Seasons longer than a week that are looked for: bills and salaries come by the day of the month, shifts by four weeks. */
const CYCLES: readonly { readonly positions: number; readonly at: (day: number) => number }[] = [
  { positions: 31, at: (day) => new Date(day * 86_400_000).getUTCDate() - 1 },
  { positions: 28, at: (day) => ((day % 28) + 28) % 28 },
];
const DAYS_AROUND = 28;
/** Less than this is not two cycles: most of it would be said by one day alone. */
const LEAST_DAYS = 45;
const RATIO_RANGE = { least: 0.05, most: 20 };

/** How well one cycle told the next, by CYCLES: the sums of product and square of both's logarithms. Plain JSON. */
export interface SeasonFit {
  readonly told: number;
  readonly square: number;
}

export interface LongSeason {
  /** By CYCLES. */
  readonly fits: readonly SeasonFit[];
  /** By CYCLES, by position: ln of the day's use over that of the four weeks around it. */
  readonly profiles: readonly (readonly number[])[];
}

export const NO_FITS: readonly SeasonFit[] = CYCLES.map(() => ({ told: 0, square: 0 }));

/** @param endHour the hour since 1970 that the last block ends before */
export function longSeasonOf(blocks: readonly Block[], endHour: number): LongSeason {
  const days = blocks.filter(({ length }) => length === 1);
  if (days.length < LEAST_DAYS) return { fits: NO_FITS, profiles: [] };
  const logs = days.map(({ rate }, i) => {
    const from = Math.min(days.length - DAYS_AROUND, Math.max(0, i - DAYS_AROUND / 2));
    const around = mean(days.slice(from, from + DAYS_AROUND).map((day) => day.rate));
    const { least, most } = RATIO_RANGE;
    return around > 0 ? Math.log(Math.min(most, Math.max(least, rate / around))) : 0;
  });
  const found = CYCLES.map(({ positions, at }) => {
    const byPosition = Array.from({ length: positions }, (): number[] => []);
    for (const [i, log] of logs.entries()) byPosition[at(dayAt(endHour, logs.length - 1 - i))]!.push(log);
    let [told, square] = [0, 0];
    for (const values of byPosition) {
      for (let i = 1; i < values.length; i += 1) {
        told += values[i - 1]! * values[i]!;
        square += (values[i - 1]! ** 2 + values[i]! ** 2) / 2;
      }
    }
    return { fit: { told, square }, profile: byPosition.map(mean) };
  });
  return { fits: found.map(({ fit }) => fit), profiles: found.map(({ profile }) => profile) };
}

/** Others that a series' own cycles count as, and the most that the org's others do. */
const OWN_WEIGHT = 2;
const MOST_OTHERS = 4;
/** From so firm a likeness of the cycles on there is a season at all: wandering levels look somewhat alike by chance. */
const LEAST_FIT = 0.3;

/** By CYCLES: how alike the cycles of the org's series are, on average, and of how many. */
export interface PooledFit {
  readonly fit: number;
  readonly series: number;
}

export function pooledFits(all: readonly (readonly SeasonFit[])[]): PooledFit[] {
  return CYCLES.map((_, cycle) => {
    const known = all.map((fits) => fits[cycle]!).filter(({ square }) => square > 0);
    return { fit: mean(known.map(({ told, square }) => told / square)), series: known.length };
  });
}

/** By how much a day's use (in days since 1970) differs by its place in a long season; undefined: there is none to be seen. */
export function seasonFactor(
  { fits, profiles }: LongSeason,
  pooled: readonly PooledFit[],
): ((day: number) => number) | undefined {
  const believed = fits.map(({ told, square }, cycle) => {
    if (square <= 0) return 0;
    const others = Math.min(MOST_OTHERS, pooled[cycle]!.series);
    return (OWN_WEIGHT * (told / square) + others * pooled[cycle]!.fit) / (OWN_WEIGHT + others);
  });
  const best = believed.indexOf(Math.max(...believed));
  const fit = believed[best]!;
  if (fit < LEAST_FIT) return undefined;
  // Of two cycles' mean more is told than of one: 2 f / (1 + f), as of the halves of a test (Spearman and Brown).
  const share = (2 * fit) / (1 + fit);
  const factors = profiles[best]!.map((log) => Math.exp(share * log));
  const middle = mean(factors);
  return (day) => factors[CYCLES[best]!.at(day)]! / middle;
}

/** The day since 1970 that most of the block lies in that ended so many blocks before an hour. */
export function dayAt(endHour: number, blocksAgo: number): number {
  return Math.floor((endHour - HOURS_PER_DAY / 2) / HOURS_PER_DAY) - blocksAgo;
}
