import { byValue, median, quantile } from '@meritorder/forecast-core';
import { seededRandom } from '@meritorder/kernel';
import { SEEN, type Evaluation } from './evaluate.js';

export interface Summary {
  readonly name: string;
  readonly series: number;
  /** Series whose total is 0 and of which an error has no share; they count in the misses and in coverage. */
  readonly withoutTotal: number;
  /** By SEEN: the median over the series of |forecast - total| / total. */
  readonly at: readonly number[];
  readonly runRateAt: readonly number[];
  /** By SEEN: the 95 % interval of the difference of the medians over the series that could as well have been there. */
  readonly differences: readonly (readonly [number, number])[];
  /** By SEEN: of the series that the forecast and the run rate differ on by more than .1 % of the total, the share it is nearer for; with its 95 % interval. */
  readonly nearer: readonly (readonly [number, number, number])[];
  /** By SEEN: the sum of all misses / the sum of all totals, which the largest series decide. */
  readonly missedShare: readonly number[];
  readonly runRateMissedShare: readonly number[];
  /** By SEEN: the share of series whose total lies in the 80 % interval. */
  readonly coverage: readonly number[];
}

const DRAWS = 2_000;

/** What many evaluations say together. */
export function summarise(name: string, all: readonly Evaluation[]): Summary {
  const total = all.reduce((sum, one) => sum + one.total, 0);
  const share = (misses: readonly number[]): number => round(misses.reduce((sum, miss) => sum + miss, 0) / total);
  const bySeen = <T>(of: (i: number) => T): T[] => SEEN.map((_, i) => of(i));
  const withTotal = all.filter((one) => one.total > 0);
  return {
    name,
    series: all.length,
    withoutTotal: all.length - withTotal.length,
    at: bySeen((i) => round(median(withTotal.map((one) => one.errors[i]!)))),
    runRateAt: bySeen((i) => round(median(withTotal.map((one) => one.runRateErrors[i]!)))),
    differences: bySeen((i) => differenceOfMedians(withTotal, i)),
    nearer: bySeen((i) => shareNearer(withTotal, i)),
    missedShare: bySeen((i) => share(all.map((one) => one.misses[i]!))),
    runRateMissedShare: bySeen((i) => share(all.map((one) => one.runRateMisses[i]!))),
    coverage: bySeen((i) => round(all.filter((one) => one.covered[i]).length / all.length)),
  };
}

/** By drawing the series with replacement; both medians of the same draw. */
function differenceOfMedians(all: readonly Evaluation[], i: number): [number, number] {
  const random = seededRandom(1);
  const differences = Array.from({ length: DRAWS }, () => {
    const draw = all.map(() => all[Math.floor(random() * all.length)]!);
    return median(draw.map((one) => one.errors[i]!)) - median(draw.map((one) => one.runRateErrors[i]!));
  });
  const sorted = byValue(differences.map((value) => ({ value, weight: 1 })));
  return [round(quantile(sorted, 0.025)), round(quantile(sorted, 0.975))];
}

/** The share and its interval by Wilson. */
function shareNearer(all: readonly Evaluation[], i: number): [number, number, number] {
  const gains = all.map((one) => one.runRateErrors[i]! - one.errors[i]!).filter((gain) => Math.abs(gain) > 0.001);
  const [n, z] = [gains.length, 1.96];
  if (n === 0) return [0.5, 0, 1];
  const share = gains.filter((gain) => gain > 0).length / n;
  const middle = (share + z ** 2 / (2 * n)) / (1 + z ** 2 / n);
  const half = (z * Math.sqrt((share * (1 - share)) / n + z ** 2 / (4 * n ** 2))) / (1 + z ** 2 / n);
  return [round(share), round(middle - half), round(middle + half)];
}

export function round(value: number): number {
  return Number(value.toFixed(4));
}
