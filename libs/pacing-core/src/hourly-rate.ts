import {
  before,
  priorOf,
  read,
  usualByHourOfWeek,
  type HourOfWeek,
  type Lesson,
  type SpendSeries,
} from '@meritorder/forecast-core';

/** What comes in each hour by what is known now; hours since 1970. */
export type HourlyRate = (hour: number) => number;

export interface KnownTraffic {
  series: SpendSeries;
  /** Since when it is counted, in hours since 1970 with their fraction. */
  sinceHours: number;
}

const HOUR_MS = 3_600_000;
/** With less than a day there is no shape of one: that of the org's other series, else none. */
export const SHAPED_FROM_HOURS = 24;
/** A burst in the first seconds is no rate. */
const LEAST_HOURS = 1 / 12;

export function hoursOf(ms: number): number {
  return ms / HOUR_MS;
}

/**
 * The rate by the shape of day and week where a day is known, else the mean so far, as that of the org's others goes on.
 * @param lessons of the org's other series, of spending or of requests: their days and weeks have the same shape
 */
export function hourlyRate(
  traffic: KnownTraffic,
  nowHours: number,
  hourOfWeek: HourOfWeek,
  lessons: readonly Lesson[],
): HourlyRate {
  const known = before(traffic.series, Math.floor(nowHours));
  const prior = priorOf(lessons);
  if (known.amounts.length >= SHAPED_FROM_HOURS) {
    const { rate, usual } = read(known, hourOfWeek, prior);
    return (hour) => rate * usual[hourOfWeek(hour)]!;
  }
  const usual = usualByHourOfWeek(prior.seasonality);
  const shape: HourlyRate = (hour) => usual[hourOfWeek(hour)]!;
  const elapsed = amountAt(shape, Math.min(traffic.sinceHours, nowHours - LEAST_HOURS), nowHours);
  const mean = traffic.series.amounts.reduce((total, amount) => total + amount, 0) / elapsed;
  return (hour) => mean * shape(hour);
}

/** What a rate brings between two instants, hours since 1970. O(hours between). */
export function amountAt(rate: HourlyRate, fromHours: number, toHours: number): number {
  let amount = 0;
  for (let hour = Math.floor(fromHours); hour < toHours; hour += 1)
    amount += rate(hour) * (Math.min(toHours, hour + 1) - Math.max(fromHours, hour));
  return amount;
}
