import { invariant } from '@meritorder/kernel';

/**
 * What one series (an org, a team, a customer, a key) used in each hour: dollars, tokens or requests, one unit throughout. Hours
 * count from 1970-01-01T00:00Z. It is demand: where pacing held something back, what would have been used without it.
 */
export interface SpendSeries {
  readonly firstHour: number;
  /** Amount of hour `firstHour + i`; an hour without use is 0. Ends with the last complete hour. */
  readonly amounts: readonly number[];
}

/** Hours that are kept: 90 days. Older ones say little of the level and nothing new of the week. */
export const HOURS_KEPT = 90 * 24;

export const HOURS_PER_DAY = 24;
export const HOURS_PER_WEEK = 168;

/** The series that knows nothing yet, from an hour on. */
export function emptySeries(firstHour: number): SpendSeries {
  return { firstHour, amounts: [] };
}

/**
 * The series after an amount came in an hour. Hours between that heard of nothing are 0; amounts of the same hour add up, so that
 * late facts find their place; what is older than the series keeps is left out of it.
 * @throws when the amount is not finite or negative, or the hour is not an integer
 */
export function recordSpend(series: SpendSeries, hour: number, amount: number): SpendSeries {
  invariant(Number.isInteger(hour), `an hour is an integer, not ${hour}`);
  invariant(Number.isFinite(amount) && amount >= 0, `an amount is finite and not negative, not ${amount}`);
  if (hour < series.firstHour) return series;
  const known = knownUntil(series, hour + 1);
  const amounts = [...known.amounts];
  amounts[hour - known.firstHour] = (amounts[hour - known.firstHour] ?? 0) + amount;
  return { firstHour: known.firstHour, amounts };
}

/** The series that knows every hour before `hour`: silence is a fact too. It never forgets what came later. */
export function knownUntil(series: SpendSeries, hour: number): SpendSeries {
  const length = Math.max(series.amounts.length, hour - series.firstHour);
  const dropped = Math.max(0, length - HOURS_KEPT);
  const amounts = Array.from({ length: length - dropped }, (_, i) => series.amounts[i + dropped] ?? 0);
  return { firstHour: series.firstHour + dropped, amounts };
}

/**
 * A series of days as one of hours, each day's amount spread evenly over its hours, for sources that book by the day.
 * @param firstHour the first day's first hour
 */
export function seriesOfDays(firstHour: number, amountsPerDay: readonly number[]): SpendSeries {
  return {
    firstHour,
    amounts: amountsPerDay.flatMap((amount) => Array.from({ length: HOURS_PER_DAY }, () => amount / HOURS_PER_DAY)),
  };
}

/** What was used from one hour up to another, not including it. Hours that the series does not know count 0. */
export function amountBetween(series: SpendSeries, fromHour: number, toHour: number): number {
  const from = Math.max(0, fromHour - series.firstHour);
  const to = Math.min(series.amounts.length, toHour - series.firstHour);
  let total = 0;
  for (let i = from; i < to; i += 1) total += series.amounts[i]!;
  return total;
}

/** The series as it was known when `hour` began. */
export function before(series: SpendSeries, hour: number): SpendSeries {
  return {
    firstHour: series.firstHour,
    amounts: series.amounts.slice(0, Math.max(0, hour - series.firstHour)),
  };
}
