import { before, forecastWindow, type HourOfWeek, type Lesson } from '@meritorder/forecast-core';
import { amountAt, hourlyRate, hoursOf, SHAPED_FROM_HOURS, type KnownTraffic } from '@meritorder/pacing-core';

export interface Outlook {
  expectedUsd: number;
  lowUsd: number;
  highUsd: number;
  /** Null: too little is known. */
  chanceAboveLimit: number | null;
}

export interface WindowProjection {
  unconstrained: Outlook;
  withPacing: Outlook | null;
}

export interface SpendingKnown extends KnownTraffic {
  /** What was counted since then. */
  count: number;
}

/** Fewer say nothing of the end of a window: as many as a price waits for. */
export const LEAST_COUNT = 30;
/** Assumed where no forecast was ever wrong yet: four times in five within a factor of two. */
const UNKNOWN_SPREAD = Math.LN2 / 1.2816;

/**
 * The end of a budget's window: forecast-core where a day is known, before that the mean rate with an assumed spread.
 * @param spending demand in USD by the hour: spent, and held back by the budget's own price
 */
export function projectWindow(of: {
  spending: SpendingKnown;
  window: { startMs: number; endMs: number };
  nowMs: number;
  spentUsd: number;
  limitUsd: number;
  lessons: readonly Lesson[];
  hourOfWeek: HourOfWeek;
  /** Whether a shadow price would hold spending back. */
  paced: boolean;
}): WindowProjection {
  const { spending, nowMs, spentUsd, limitUsd, hourOfWeek } = of;
  const nowHours = hoursOf(nowMs);
  // Windows begin at full hours but in few zones; there the last hour counts in part.
  const window = { startHour: Math.floor(hoursOf(of.window.startMs)), endHour: Math.ceil(hoursOf(of.window.endMs)) };
  const known = before(spending.series, Math.floor(nowHours));
  if (known.amounts.length < SHAPED_FROM_HOURS) return byMeanRate(of);
  const rate = hourlyRate(spending, nowHours, hourOfWeek, of.lessons);
  const leftUsd = Math.max(0, limitUsd - spentUsd);
  const total = amountAt(rate, nowHours, window.endHour);
  const caps = Array.from({ length: window.endHour - Math.floor(nowHours) }, (_, i) => {
    const hour = Math.floor(nowHours) + i;
    return total > 0 ? (leftUsd * amountAt(rate, Math.max(nowHours, hour), hour + 1)) / total : leftUsd;
  });
  const forecast = forecastWindow({
    series: spending.series,
    window,
    nowHours,
    spent: spentUsd,
    lessons: of.lessons,
    hourOfWeek,
    limit: limitUsd,
    ...(of.paced && caps.length > 0 ? { pacing: caps } : {}),
  });
  return {
    unconstrained: outlook(forecast.unconstrained),
    withPacing: forecast.withPacing ? outlook(forecast.withPacing) : null,
  };
}

function outlook(of: { expected: number; low: number; high: number; chanceAboveLimit?: number }): Outlook {
  return {
    expectedUsd: of.expected,
    lowUsd: of.low,
    highUsd: of.high,
    chanceAboveLimit: of.chanceAboveLimit ?? null,
  };
}

function byMeanRate(of: Parameters<typeof projectWindow>[0]): WindowProjection {
  const { spending, window, nowMs, spentUsd, limitUsd, hourOfWeek } = of;
  const rate = hourlyRate(spending, hoursOf(nowMs), hourOfWeek, of.lessons);
  const toCome = amountAt(rate, hoursOf(nowMs), hoursOf(window.endMs));
  const leftUsd = limitUsd - spentUsd;
  const enough = spending.count >= LEAST_COUNT || leftUsd <= 0;
  const factor = Math.exp(1.2816 * UNKNOWN_SPREAD);
  const chance = leftUsd <= 0 ? 1 : toCome <= 0 ? 0 : 1 - normal(Math.log(leftUsd / toCome) / UNKNOWN_SPREAD);
  const unconstrained = {
    expectedUsd: spentUsd + toCome,
    lowUsd: spentUsd + toCome / factor,
    highUsd: spentUsd + toCome * factor,
    chanceAboveLimit: enough ? chance : null,
  };
  const capped = (usd: number): number => Math.min(usd, Math.max(limitUsd, spentUsd));
  const withPacing = of.paced
    ? {
        expectedUsd: capped(unconstrained.expectedUsd),
        lowUsd: capped(unconstrained.lowUsd),
        highUsd: capped(unconstrained.highUsd),
        chanceAboveLimit: leftUsd < 0 ? 1 : 0,
      }
    : null;
  return { unconstrained, withPacing };
}

/** P(Z < z). Abramowitz and Stegun, 26.2.17: wrong by less than 1e-7. */
function normal(z: number): number {
  const t = 1 / (1 + 0.231_641_9 * Math.abs(z));
  const polynomial =
    t * (0.319_381_53 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
  const above = (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * polynomial;
  return z >= 0 ? 1 - above : above;
}
