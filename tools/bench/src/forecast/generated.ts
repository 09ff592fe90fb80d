import { median } from '@meritorder/forecast-core';
import { seededRandom } from '@meritorder/kernel';
import { seenUntil, SEEN, type Period } from './evaluate.js';
import type { HourlySeries } from './hourly-file.js';
import { LEVELS, lognormal, type Level } from './generated-levels.js';

/** A series whose truth is known: what each hour is expected to use, and what it used with noise. */
export interface GeneratedSeries extends HourlySeries {
  readonly truth: readonly number[];
}

/** An org of such series, with a calendar month to be forecast. */
export interface GeneratedOrganisation {
  readonly series: readonly GeneratedSeries[];
  readonly period: Required<Period>;
}

export interface Family {
  readonly name: string;
  readonly organisations: readonly GeneratedOrganisation[];
}

const DAY = 24;
const DAYS_BEFORE = 61;
const ORGANISATIONS_PER_FAMILY = 6;
const SERIES_PER_ORGANISATION = 12;

/**
 * Orgs of twelve series each: office hours, weekends at .1 to .4, noise of 20 % by the hour and 10 % by the day, of any size. Each
 * org's period is another calendar month, which starts on another weekday; 61 days come before it.
 * @param seed of the random
 */
export function generatedFamilies(seed: number): Family[] {
  return Object.entries(LEVELS).map(([name, level], family) => ({
    name,
    organisations: Array.from({ length: ORGANISATIONS_PER_FAMILY }, (_, org) => {
      const firstOfMonth = Date.UTC(2025, org, 1) / 3_600_000;
      const startHour = DAYS_BEFORE * DAY;
      const period = {
        firstHour: firstOfMonth - startHour,
        startHour,
        endHour: startHour + Date.UTC(2025, org + 1, 1) / 3_600_000 - firstOfMonth,
      };
      return {
        period,
        series: Array.from({ length: SERIES_PER_ORGANISATION }, (_, i) =>
          generate(`${name}/${org}/${i}`, level, seededRandom(seed + 10_000 * family + 100 * org + i), period),
        ),
      };
    }),
  }));
}

/** The same org as if it had begun with the period. */
export function withoutHistory({ series, period }: GeneratedOrganisation): GeneratedOrganisation {
  const { firstHour, startHour, endHour } = period;
  return {
    series: series.map((one) => ({
      ...one,
      amounts: one.amounts.slice(startHour),
      truth: one.truth.slice(startHour),
    })),
    period: { firstHour: firstHour + startHour, startHour: 0, endHour: endHour - startHour },
  };
}

function generate(
  name: string,
  levelOf: (random: () => number) => Level,
  random: () => number,
  { firstHour, endHour }: Required<Period>,
): GeneratedSeries {
  const size = 10 ** (1 + 4 * random());
  const weekend = 0.1 + 0.3 * random();
  const level = levelOf(random);
  const truth: number[] = [];
  const amounts: number[] = [];
  for (let day = 0; day < endHour / DAY; day += 1) {
    const date = new Date((firstHour + day * DAY) * 3_600_000);
    const ofDay = level(day - DAYS_BEFORE, date) * (date.getUTCDay() % 6 > 0 ? 1 : weekend);
    const noiseOfDay = lognormal(random, 0.1);
    for (let hour = 0; hour < DAY; hour += 1) {
      const expected = size * ofDay * (1 + 0.8 * Math.sin((2 * Math.PI * (hour - 8)) / DAY));
      truth.push(expected);
      amounts.push(expected * noiseOfDay * lognormal(random, 0.2));
    }
  }
  return { name, amounts, truth, isSum: false };
}

/** By SEEN, the median error of one who knows what is expected of each hour to come: what is left is noise. */
export function trueErrors(organisations: readonly GeneratedOrganisation[]): number[] {
  const sum = (amounts: readonly number[], from: number, to: number): number =>
    amounts.slice(from, to).reduce((all, amount) => all + amount, 0);
  return SEEN.map((seen) =>
    median(
      organisations.flatMap(({ series, period }) => {
        const { startHour, endHour } = period;
        const now = seenUntil(period, seen);
        return series.flatMap(({ amounts, truth }) => {
          const total = sum(amounts, startHour, endHour);
          return total > 0 ? [Math.abs(sum(amounts, startHour, now) + sum(truth, now, endHour) - total) / total] : [];
        });
      }),
    ),
  );
}
