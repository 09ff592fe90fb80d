import { HOURS_PER_DAY, HOURS_PER_WEEK } from './spend-series.js';

/** Which hour of the week, 0..167 from Monday 0:00, an hour since 1970 is in somebody's zone. The core asks; the caller knows. */
export type HourOfWeek = (hour: number) => number;

/** 1970-01-01 was a Thursday. */
const FIRST_HOUR_OF_WEEK = 3 * HOURS_PER_DAY;

/** The calendar of UTC, or of a fixed number of hours ahead of it. */
export function hoursAheadOfUtc(ahead: number): HourOfWeek {
  return (hour) => (((hour + ahead + FIRST_HOUR_OF_WEEK) % HOURS_PER_WEEK) + HOURS_PER_WEEK) % HOURS_PER_WEEK;
}

export const UTC_WEEK: HourOfWeek = hoursAheadOfUtc(0);

/**
 * The calendar of an IANA zone, with its changes of the clock: days of 23 and 25 hours have 23 and 25 of them. In zones that
 * differ from UTC by part of an hour the hour counts that most of it lies in.
 * @throws RangeError when there is no such zone
 */
export function hourOfWeekIn(zone: string): HourOfWeek {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    weekday: 'short',
    hour: '2-digit',
    hourCycle: 'h23',
  });
  const known = new Map<number, number>();
  return (hour) => {
    const found = known.get(hour);
    if (found !== undefined) return found;
    const parts = Object.fromEntries(format.formatToParts(hour * 3_600_000 + 1_799_000).map((p) => [p.type, p.value]));
    const value = WEEKDAYS.indexOf(parts['weekday']!) * HOURS_PER_DAY + Number(parts['hour']);
    if (known.size >= MOST_REMEMBERED) known.clear();
    known.set(hour, value);
    return value;
  };
}

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const MOST_REMEMBERED = 20_000;
