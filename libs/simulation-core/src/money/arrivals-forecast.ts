import { hourOfWeekIn, HOURS_PER_DAY, HOURS_PER_WEEK, knownUntil, type HourOfWeek } from '@meritorder/forecast-core';
import { amountAt, hourlyRate, hoursOf, SHAPED_FROM_HOURS, type HourlyRate } from '@meritorder/pacing-core';

/** Weeks of history: by then days and weeks have their shape. */
const HISTORY_WEEKS = 4;
/** A mean is read as often as the product reads it; a shape changes with every complete hour. */
const MEAN_FOR_HOURS = 1 / 60;

/** Of one time zone. */
interface Reading {
  hourOfWeek: HourOfWeek;
  untilHours: number;
  rate: HourlyRate;
  fromHour: number;
  /** Requests from there to the beginning of each hour after it, as far as somebody asked. */
  sums: number[];
}

/**
 * What is forecast of arrivals: what the product makes of those that came so far and of a history that is equal to the workload.
 * So no surge is known before it comes, and arrivals go on when the workload is over, which is when its windows are not.
 */
export class ArrivalsForecast {
  /** By the hour: the history, and what came since. */
  private readonly amounts: number[];
  private readonly firstHour: number;
  private readonly readings = new Map<string, Reading>();

  constructor(private readonly atMs: Float64Array) {
    this.amounts = historyOf(atMs);
    this.firstHour = hourOf(atMs[0]!) - this.amounts.length;
  }

  arrived(atMs: number): void {
    const index = hourOf(atMs) - this.firstHour;
    while (this.amounts.length <= index) this.amounts.push(0);
    this.amounts[index]! += 1;
  }

  /** Requests that were to come in a time that is over. */
  until(nowMs: number, fromMs: number, timeZone: string): number {
    return amountAt(this.reading(nowMs, timeZone).rate, hoursOf(fromMs), hoursOf(nowMs));
  }

  /** Requests to come, O(1) but for the first time that somebody asks so far ahead. */
  from(nowMs: number, untilMs: number, timeZone: string): number {
    const reading = this.reading(nowMs, timeZone);
    return Math.max(0, sumUntil(reading, hoursOf(untilMs)) - sumUntil(reading, hoursOf(nowMs)));
  }

  private reading(nowMs: number, timeZone: string): Reading {
    const nowHours = hoursOf(nowMs);
    const known = this.readings.get(timeZone);
    if (known && nowHours < known.untilHours) return known;
    const hourOfWeek = known?.hourOfWeek ?? hourOfWeekIn(timeZone);
    const fromHour = Math.floor(nowHours);
    const series = knownUntil({ firstHour: this.firstHour, amounts: this.amounts }, fromHour + 1);
    const rate = hourlyRate({ series, sinceHours: hoursOf(this.atMs[0]!) }, nowHours, hourOfWeek, []);
    const isShaped = fromHour - this.firstHour >= SHAPED_FROM_HOURS;
    const untilHours = isShaped ? fromHour + 1 : nowHours + MEAN_FOR_HOURS;
    const made = { hourOfWeek, untilHours, rate, fromHour, sums: [0] };
    this.readings.set(timeZone, made);
    return made;
  }
}

/** Whole weeks of the workload again and again, or whole days where it has no week; of less than a day there is no history. */
function historyOf(atMs: Float64Array): number[] {
  const firstHour = hourOf(atMs[0]!);
  const hours = hourOf(atMs[atMs.length - 1]!) - firstHour + 1;
  const whole = hours >= HOURS_PER_WEEK ? HOURS_PER_WEEK : HOURS_PER_DAY;
  const period = hours - (hours % whole);
  if (period === 0) return [];
  const round = Array.from({ length: period }, () => 0);
  for (const ms of atMs) {
    const index = hourOf(ms) - firstHour;
    if (index < period) round[index]! += 1;
  }
  const rounds = Math.ceil((HISTORY_WEEKS * HOURS_PER_WEEK) / period);
  return Array.from({ length: rounds }, () => round).flat();
}

function sumUntil({ rate, sums, fromHour }: Reading, hours: number): number {
  const whole = Math.floor(hours) - fromHour;
  while (sums.length <= whole + 1) sums.push(sums.at(-1)! + rate(fromHour + sums.length - 1));
  return sums[whole]! + (hours - fromHour - whole) * (sums[whole + 1]! - sums[whole]!);
}

function hourOf(ms: number): number {
  return Math.floor(hoursOf(ms));
}
