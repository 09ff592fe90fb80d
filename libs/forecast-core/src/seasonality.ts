import type { HourOfWeek } from './calendar.js';
import { HOURS_PER_DAY, type SpendSeries } from './spend-series.js';
import { SHIPPED_DAYS } from './shipped.js';
import { byValue, mean, median, type Weighted } from './statistics.js';

const DAYS_PER_WEEK = 7;

/** What a series, or many together, say of the shape of a day and of a week. Ratios to the mean: 1 is as usual. Plain JSON. */
export interface Seasonality {
  /** By local hour 0..23: share of the day's use x 24. */
  readonly hours: readonly number[];
  readonly days: number;
  /** By weekday from Monday: the day's use / the mean of the 7 days around it. */
  readonly weekdays: readonly number[];
  readonly weeks: number;
  /** How far the weekdays are to be believed, 0..1, by how well the weeks, or the series, agree. */
  readonly weekdaysBelieved: number;
}

export const FLAT: Seasonality = {
  hours: Array.from({ length: HOURS_PER_DAY }, () => 1),
  days: 0,
  weekdays: Array.from({ length: DAYS_PER_WEEK }, () => 1),
  weeks: 0,
  weekdaysBelieved: 0,
};

/** No hour and no day is taken for quite dead: a single request there would count for everything. */
const FLOOR = 0.02;
/** A prior weighs like so many days of a series' own. */
const DAYS_OF_PRIOR = 5;
/** All may have had the same odd day in one week, however well they agree, and hardly in each: doubt shrinks with every week. */
const DOUBT_PER_WEEK = 0.2;

/** One local day of a series. */
interface LocalDay {
  readonly weekday: number;
  /** Mean per hour. */
  readonly rate: number;
  readonly byHour: readonly { readonly hour: number; readonly amount: number }[];
}

const SHIPPED_HOURS = SHIPPED_DAYS.map(([swing, peakHour]) =>
  normalised(FLAT.hours.map((_, hour) => 1 + swing * Math.cos((2 * Math.PI * (hour - peakHour)) / HOURS_PER_DAY))),
);

/**
 * Where nobody has shown a day: the mean of the hours ahead over that of those seen, as one or other of the shipped days is the right
 * one.
 * @param seen @param ahead hours of the local day, 0..23
 */
export function unknownDayFactors(seen: readonly number[], ahead: readonly number[]): Weighted[] {
  const over = (hours: readonly number[], of: readonly number[]): number => mean(of.map((hour) => hours[hour]!));
  return byValue(
    SHIPPED_HOURS.map((hours) => ({ value: over(hours, ahead) / over(hours, seen), weight: 1 / SHIPPED_HOURS.length })),
  );
}

/** What a series shows by itself, without any prior. Of days cut off at its ends nothing is taken. */
export function seasonalityOf(series: SpendSeries, hourOfWeek: HourOfWeek): Seasonality {
  const days = localDays(series, hourOfWeek);
  const busy = days.filter(({ rate }) => rate > 0);
  if (busy.length === 0) return FLAT;
  const shares = FLAT.hours.map((): number[] => []);
  for (const { rate, byHour } of busy) for (const { hour, amount } of byHour) shares[hour]!.push(amount / rate);
  const hours = shares.map(median);
  const weekdays = FLAT.weekdays.map((_, weekday) => median(ratiosOfWeekday(days, weekday)));
  return {
    hours: normalised(hours),
    days: busy.length,
    weekdays: days.length < DAYS_PER_WEEK ? FLAT.weekdays : normalised(weekdays),
    weeks: Math.floor(days.length / DAYS_PER_WEEK),
    weekdaysBelieved: believed(weeksOf(days), Math.floor(days.length / DAYS_PER_WEEK)),
  };
}

/** The last whole weeks, each by weekday against its own mean; weeks without use say nothing. */
function weeksOf(days: readonly LocalDay[]): number[][] {
  const weeks: number[][] = [];
  for (let end = days.length; end >= DAYS_PER_WEEK; end -= DAYS_PER_WEEK) {
    const week = days.slice(end - DAYS_PER_WEEK, end);
    const middle = mean(week.map(({ rate }) => rate));
    const byWeekday = FLAT.weekdays.map((_, weekday) =>
      mean(week.filter((d) => d.weekday === weekday).map((d) => d.rate)),
    );
    if (middle > 0) weeks.push(byWeekday.map((rate) => rate / middle));
  }
  return weeks;
}

/** A day against the mean of the 7 days that it is in the middle of, or nearest to the middle of. */
function ratiosOfWeekday(days: readonly LocalDay[], weekday: number): number[] {
  return days.flatMap((day, i) => {
    if (day.weekday !== weekday || days.length < DAYS_PER_WEEK) return [];
    const from = Math.min(days.length - DAYS_PER_WEEK, Math.max(0, i - 3));
    const around = mean(days.slice(from, from + DAYS_PER_WEEK).map(({ rate }) => rate));
    return around > 0 ? [day.rate / around] : [];
  });
}

function localDays({ firstHour, amounts }: SpendSeries, hourOfWeek: HourOfWeek): LocalDay[] {
  const days: { weekday: number; byHour: { hour: number; amount: number }[] }[] = [];
  for (const [i, amount] of amounts.entries()) {
    const slot = hourOfWeek(firstHour + i);
    const [weekday, hour] = [Math.floor(slot / HOURS_PER_DAY), slot % HOURS_PER_DAY];
    if (days.at(-1)?.weekday !== weekday) days.push({ weekday, byHour: [] });
    days.at(-1)!.byHour.push({ hour, amount });
  }
  return days
    .filter(({ byHour }) => byHour[0]!.hour === 0 && byHour.at(-1)!.hour === HOURS_PER_DAY - 1)
    .map((day) => ({ ...day, rate: mean(day.byHour.map(({ amount }) => amount)) }));
}

function normalised(values: readonly number[]): number[] {
  const middle = mean(values);
  const floored = values.map((value) => (middle > 0 ? Math.max(FLOOR, value / middle) : 1));
  const total = mean(floored);
  return floored.map((value) => value / total);
}

/**
 * What many series show together: the median of each hour and weekday, drawn towards no shape at all. They share what happens on
 * a day, so that their number adds nothing to the days and weeks seen: a hundred series of one week are one week.
 */
export function pooledSeasonality(all: readonly Seasonality[]): Seasonality {
  const withDays = all.filter(({ days }) => days > 0);
  const withWeeks = all.filter(({ weeks }) => weeks > 0);
  const [days, weeks] = [Math.max(0, ...withDays.map((s) => s.days)), Math.max(0, ...withWeeks.map((s) => s.weeks))];
  const hours = FLAT.hours.map((_, i) => median(withDays.map((s) => s.hours[i]!)));
  const weekdays = FLAT.weekdays.map((_, i) => median(withWeeks.map((s) => s.weekdays[i]!)));
  const share = believed(
    withWeeks.map((s) => s.weekdays),
    weeks,
  );
  return {
    hours: days === 0 ? FLAT.hours : drawn(normalised(hours), FLAT.hours, days, DAYS_OF_PRIOR),
    days,
    weekdays: weeks === 0 ? FLAT.weekdays : mixed(normalised(weekdays), FLAT.weekdays, share),
    weeks,
    weekdaysBelieved: share,
  };
}

/** How far weekdays told by several witnesses of some weeks are to be believed. */
function believed(all: readonly (readonly number[])[], weeks: number): number {
  return agreement(all) * (1 - DOUBT_PER_WEEK ** weeks);
}

/**
 * How far several witnesses' weekdays tell the same, 0..1: 1 - variance of their medians by chance / variance of the medians from
 * day to day (the shrinkage of James and Stein). A single one agrees with nobody.
 */
function agreement(all: readonly (readonly number[])[]): number {
  if (all.length < 2) return 0;
  const medians = FLAT.weekdays.map((_, i) => median(all.map((weekdays) => weekdays[i]!)));
  const byChance = mean(
    medians.map((middle, i) => {
      const deviation = 1.4826 * median(all.map((weekdays) => Math.abs(weekdays[i]! - middle)));
      return ((Math.PI / 2) * deviation ** 2) / all.length;
    }),
  );
  const ofDays = mean(medians.map((middle) => (middle - 1) ** 2));
  return ofDays > 0 ? Math.max(0, 1 - byChance / ofDays) : 0;
}

/**
 * A series' own seasonality, drawn towards that of its kind in proportion to how little it has seen. In one week a single series
 * cannot tell a weekday from a level that moved: its own weekdays count from the second week on, as far as its weeks agree.
 */
export function shrunkenSeasonality(own: Seasonality, prior: Seasonality): Seasonality {
  return {
    hours: drawn(own.hours, prior.hours, own.days, DAYS_OF_PRIOR),
    days: Math.max(own.days, prior.days),
    weekdays: mixed(own.weekdays, prior.weekdays, own.weekdaysBelieved),
    weeks: Math.max(own.weeks, prior.weeks),
    weekdaysBelieved: Math.max(own.weekdaysBelieved, prior.weekdaysBelieved),
  };
}

function drawn(mine: readonly number[], theirs: readonly number[], seen: number, strength: number): number[] {
  return mixed(mine, theirs, seen / (seen + strength));
}

function mixed(mine: readonly number[], theirs: readonly number[], share: number): number[] {
  return normalised(mine.map((value, i) => share * value + (1 - share) * theirs[i]!));
}

/** By hour of the week 0..167, how much of the mean hour's use is usual. */
export function usualByHourOfWeek({ hours, weekdays }: Seasonality): number[] {
  return weekdays.flatMap((ofDay) => hours.map((ofHour) => ofDay * ofHour));
}
