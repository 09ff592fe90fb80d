import { median } from '@meritorder/forecast-core';
import { seededRandom } from '@meritorder/kernel';
import { SEEN, type Period } from './evaluate.js';
import type { HourlySeries } from './hourly-file.js';

/** Orgs whose truth is known: what each hour is expected to use, and what it used with noise. */
export interface GeneratedSeries extends HourlySeries {
  readonly truth: readonly number[];
}

export interface Family {
  readonly name: string;
  readonly series: readonly GeneratedSeries[];
}

const DAY = 24;
const DAYS = 56;
const SERIES_PER_FAMILY = 12;

type Level = (day: number) => number;

/** By name, the level of a series over its days; each call is another series. */
const LEVELS: Record<string, (random: () => number) => Level> = {
  'same level': () => () => 1,
  'growing 1 to 3 % a day': (random) => {
    const growth = 1.01 + 0.02 * random();
    return (day) => growth ** day;
  },
  'wandering level': (random) => {
    const steps = Array.from({ length: DAYS }, () => 0.1 * normal(random));
    const walk = steps.map((_, i) => Math.exp(steps.slice(0, i + 1).reduce((sum, step) => sum + step, 0)));
    return (day) => walk[day]!;
  },
  'season of 28 days': (random) => {
    const phase = 2 * Math.PI * random();
    return (day) => 1 + 0.4 * Math.sin((2 * Math.PI * day) / 28 + phase);
  },
  'level x 2.5 once': (random) => changeOnce(random, 2.5),
  'level x 0.3 once': (random) => changeOnce(random, 0.3),
  'stops for good': (random) => changeOnce(random, 0),
};

/** Some time between the 3rd and the 22nd day of the last 28, which is in the period with history and without. */
function changeOnce(random: () => number, factor: number): Level {
  const at = DAYS / 2 + 3 + Math.floor(19 * random());
  return (day) => (day >= at ? factor : 1);
}

/**
 * Twelve series each of 8 weeks: office hours, weekends at .1 to .4, noise of 20 % by the hour and 10 % by the day, of any size.
 * @param seed of the random
 */
export function generatedFamilies(seed: number): Family[] {
  return Object.entries(LEVELS).map(([name, level], family) => ({
    name,
    series: Array.from({ length: SERIES_PER_FAMILY }, (_, i) =>
      generate(`${name}/${i}`, level, seededRandom(seed + 1_000 * family + i)),
    ),
  }));
}

function generate(name: string, levelOf: (random: () => number) => Level, random: () => number): GeneratedSeries {
  const size = 10 ** (1 + 4 * random());
  const weekend = 0.1 + 0.3 * random();
  const level = levelOf(random);
  const truth: number[] = [];
  const amounts: number[] = [];
  for (let day = 0; day < DAYS; day += 1) {
    const ofDay = level(day) * (day % 7 < 5 ? 1 : weekend);
    const noiseOfDay = lognormal(random, 0.1);
    for (let hour = 0; hour < DAY; hour += 1) {
      const expected = size * ofDay * (1 + 0.8 * Math.sin((2 * Math.PI * (hour - 8)) / DAY));
      truth.push(expected);
      amounts.push(expected * noiseOfDay * lognormal(random, 0.2));
    }
  }
  return { name, amounts, truth, isSum: false };
}

/** Of mean 1. */
function lognormal(random: () => number, spread: number): number {
  return Math.exp(spread * normal(random) - spread ** 2 / 2);
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** By SEEN, the median error of one who knows what is expected of each hour to come: what is left is noise. */
export function trueErrors(series: readonly GeneratedSeries[], { startHour, endHour }: Period): number[] {
  const sum = (amounts: readonly number[], from: number, to: number): number =>
    amounts.slice(from, to).reduce((all, amount) => all + amount, 0);
  return SEEN.map((seen) => {
    const now = startHour + Math.max(1, Math.floor((endHour - startHour) * seen));
    return median(
      series.map(({ amounts, truth }) => {
        const total = sum(amounts, startHour, endHour);
        return Math.abs(sum(amounts, startHour, now) + sum(truth, now, endHour) - total) / total;
      }),
    );
  });
}
