import { invariant } from '@meritorder/kernel';
import type { Activity } from './activity.js';
import { UTC_WEEK, type HourOfWeek } from './calendar.js';
import { jumpFactors, withFactors } from './jumps.js';
import { chanceOfFirstUse, firstUsesSeen, priorOf, type Lesson } from './pool.js';
import { read, referenceOf, type Reading } from './reading.js';
import { ratioOf, scaleOf, witnesses } from './residuals.js';
import { unknownDayFactors } from './seasonality.js';
import { asWideAs, SHIPPED_RESIDUALS, shippedWitnesses, type SeenActivity, type ShippedResiduals } from './shipped.js';
import { amountBetween, before, HOURS_PER_DAY, type SpendSeries } from './spend-series.js';
import { byValue, quantile, shareAbove, type Weighted } from './statistics.js';

export interface ForecastRequest {
  /** Demand of the series, before the window too: see SpendSeries. Amounts of `now` and later are not looked at. */
  readonly series: SpendSeries;
  /** The window, in hours since 1970-01-01T00:00Z. */
  readonly window: { readonly startHour: number; readonly endHour: number };
  /** Now, in the same hours, with the part of the current one that is over. */
  readonly nowHours: number;
  /** What was spent in the window up to now. Absent: what the series says; with it, the part of the current hour counts too. */
  readonly spent?: number;
  /** What the org's OTHER series teach; none is the cold start. */
  readonly lessons?: readonly Lesson[];
  readonly hourOfWeek?: HourOfWeek;
  /** Residuals from elsewhere, which count where the org's own are few: SHIPPED_RESIDUALS where absent. */
  readonly shipped?: ShippedResiduals;
  /** What pacing lets through in each remaining hour at most, the current one first; the last goes on. Absent: no pacing. */
  readonly pacing?: readonly number[];
  /** Absent: no probability. */
  readonly limit?: number;
  /** Share of cases that the interval is to hold: .8 where absent. */
  readonly confidence?: number;
}

export interface Outlook {
  /** The window's total. */
  readonly expected: number;
  readonly low: number;
  readonly high: number;
  /** That the total is above the limit. */
  readonly chanceAboveLimit?: number;
  /** By the end of each remaining day, at most 400: the total up to there. */
  readonly line: readonly LinePoint[];
}

export interface LinePoint {
  readonly hour: number;
  readonly expected: number;
  readonly low: number;
  readonly high: number;
}

export interface WindowForecast {
  readonly spent: number;
  /** As if nothing were held back. */
  readonly unconstrained: Outlook;
  /** With what pacing lets through, where it was given: it comes true because it is acted upon, and says nothing of demand. */
  readonly withPacing?: Outlook;
  readonly basis: {
    readonly activity: Activity;
    readonly knownDays: number;
    /** Weeks and days by which the shapes of a week and a day are known, here or among the others: 0 is a guess. */
    readonly weeksOfSeason: number;
    readonly daysOfSeason: number;
    /** Other series that say how wrong such forecasts are; 0: the shipped residuals alone do. */
    readonly witnesses: number;
  };
}

/** What a window's remainder may be: each hour's reference amount, and by which ratio it may come out differently. */
interface Prospect {
  readonly path: readonly number[];
  readonly expectedRatio: number;
  readonly ratios: readonly Weighted[];
}

const AS_IT_IS: readonly Weighted[] = [{ value: 1, weight: 1 }];
const MOST_LINE_POINTS = 400;

/**
 * The end of a window from what was used so far: a level that forgets as fast as the series wanders, the shape of the day and the
 * week, and the spread of the errors that such forecasts had among the org's other series and the shipped ones. O(hours known +
 * hours to come).
 * @throws when the window is empty or now lies outside of it
 */
export function forecastWindow(request: ForecastRequest): WindowForecast {
  const { series, window, nowHours, lessons = [], hourOfWeek = UTC_WEEK, pacing } = request;
  const { startHour, endHour } = window;
  invariant(startHour < endHour, `a window ends after it starts, not ${startHour} to ${endHour}`);
  invariant(nowHours >= startHour && nowHours <= endHour, `${nowHours} is not in ${startHour} to ${endHour}`);
  const reading = read(before(series, Math.floor(nowHours)), hourOfWeek, priorOf(lessons));
  const spent = request.spent ?? amountBetween(series, startHour, Math.floor(nowHours));
  const prospect = prospectOf(reading, request, lessons);
  const outlook = (caps?: readonly number[]): Outlook => outlookOf(prospect, spent, request, caps);
  const { seasonality, activity, knownDays } = reading;
  return {
    spent,
    unconstrained: outlook(),
    ...(pacing && pacing.length > 0 ? { withPacing: outlook(pacing) } : {}),
    basis: {
      activity,
      knownDays,
      weeksOfSeason: seasonality.weeks,
      daysOfSeason: seasonality.days,
      witnesses: lessons.filter((l) => l.residuals.some((r) => r.activity === activity)).length,
    },
  };
}

function prospectOf(
  reading: Reading,
  { series, window, nowHours, hourOfWeek = UTC_WEEK, shipped = SHIPPED_RESIDUALS }: ForecastRequest,
  lessons: readonly Lesson[],
): Prospect {
  const { activity } = reading;
  const first = Math.floor(nowHours);
  const days = (window.endHour - nowHours) / HOURS_PER_DAY;
  const hours = Array.from({ length: window.endHour - first }, (_, i) => reading.usualAt(first + i));
  if (hours.length > 0) hours[0]! *= first + 1 - nowHours;
  const referenceRate = referenceOf(reading, days);
  if (activity === 'unseen' || referenceRate <= 0) return firstUse(hours, lessons, reading.knownDays, days);
  const jumps = jumpFactors(activity === 'steady' ? lessons.map((lesson) => lesson.jumps) : [], days);
  const local = (from: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => hourOfWeek(from + i) % HOURS_PER_DAY);
  const isUnknownDay = reading.seasonality.days === 0 && hours.length > 0;
  const ofDay = isUnknownDay
    ? unknownDayFactors(local(series.firstHour, first - series.firstHour), local(first, hours.length))
    : AS_IT_IS;
  return {
    path: hours.map((hour) => hour * referenceRate),
    expectedRatio: (reading.rateOver(days) / referenceRate) * quantile(jumps, 0.5) * quantile(ofDay, 0.5),
    ratios: withFactors(withFactors(spread(reading, activity, lessons, shipped, days), jumps), ofDay),
  };
}

/** How the remainder may differ from the reference while the level stays. */
function spread(
  reading: Reading,
  activity: SeenActivity,
  lessons: readonly Lesson[],
  shipped: ShippedResiduals,
  days: number,
): Weighted[] {
  const isSteady = activity === 'steady';
  const ofOthers = witnesses(
    lessons.map((lesson) => lesson.residuals),
    { activity, hasSeason: reading.hasSeason },
    days,
    isSteady,
  );
  const fromElsewhere = shippedWitnesses(shipped, activity, days);
  const scores = [...ofOthers, ...(isSteady ? asWideAs(ofOthers, fromElsewhere) : fromElsewhere)];
  const scale = scaleOf(reading, reading.volatility, days);
  return byValue(scores.map(({ value, weight }) => ({ value: ratioOf(value, scale), weight })));
}

/** When in the remaining time a first use may come, as the share of it that is left then: any time is as likely. */
const LEFT_AT_FIRST_USE = [0.1, 0.3, 0.5, 0.7, 0.9];

/**
 * A series never used so far may begin at any time, and then be like any of the others; that it does is expected only where others
 * were seen to.
 */
function firstUse(path: readonly number[], lessons: readonly Lesson[], unseenDays: number, days: number): Prospect {
  const begun = lessons.filter((lesson) => lesson.begun);
  const chance = begun.length === 0 ? 0 : chanceOfFirstUse(lessons, unseenDays, days);
  const weight = chance / (begun.length * LEFT_AT_FIRST_USE.length);
  const ratios = byValue([
    { value: 0, weight: 1 - chance },
    ...begun.flatMap(({ meanRate }) => LEFT_AT_FIRST_USE.map((left) => ({ value: left * meanRate, weight }))),
  ]);
  return { path, expectedRatio: firstUsesSeen(lessons) > 0 ? quantile(ratios, 0.5) : 0, ratios };
}

function outlookOf(
  { path, expectedRatio, ratios }: Prospect,
  spent: number,
  { nowHours, limit, confidence = 0.8 }: ForecastRequest,
  caps?: readonly number[],
): Outlook {
  const amount = (ratio: number, hour: number): number => {
    const wanted = ratio * path[hour]!;
    return caps ? Math.min(wanted, caps[Math.min(hour, caps.length - 1)]!) : wanted;
  };
  const [low, high] = interval(ratios, confidence);
  const three = [expectedRatio, Math.min(low, expectedRatio), Math.max(high, expectedRatio)];
  const totals = [spent, spent, spent];
  const line: LinePoint[] = [];
  const pointEvery = HOURS_PER_DAY * Math.ceil(path.length / HOURS_PER_DAY / MOST_LINE_POINTS);
  for (const hour of path.keys()) {
    for (const [i, ratio] of three.entries()) totals[i]! += amount(ratio, hour);
    if ((hour + 1) % pointEvery === 0 || hour === path.length - 1)
      line.push({
        hour: Math.floor(nowHours) + hour + 1,
        expected: totals[0]!,
        low: totals[1]!,
        high: totals[2]!,
      });
  }
  const total = (ratio: number): number => path.reduce((sum, _, hour) => sum + amount(ratio, hour), spent);
  return {
    expected: totals[0]!,
    low: totals[1]!,
    high: totals[2]!,
    ...(limit === undefined ? {} : { chanceAboveLimit: chanceAbove(limit, spent, ratios, total) }),
    line,
  };
}

/** The middle of the cases; where nothing at all comes so often that the lower end is 0, all of them from there up. */
function interval(ratios: readonly Weighted[], confidence: number): [number, number] {
  const low = quantile(ratios, (1 - confidence) / 2);
  return [low, quantile(ratios, low > 0 ? (1 + confidence) / 2 : confidence)];
}

/** The share of cases whose total is above the limit. Totals rise with the ratio: the ratio that meets the limit is searched for. */
function chanceAbove(
  limit: number,
  spent: number,
  ratios: readonly Weighted[],
  total: (ratio: number) => number,
): number {
  if (spent > limit) return 1;
  let [under, over] = [0, (ratios.at(-1)?.value ?? 0) + 1];
  if (total(over) <= limit) return 0;
  for (let i = 0; i < 40; i += 1) {
    const middle = (under + over) / 2;
    if (total(middle) > limit) over = middle;
    else under = middle;
  }
  return shareAbove(ratios, under);
}
