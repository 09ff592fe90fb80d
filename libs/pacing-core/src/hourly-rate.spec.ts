import { lessonOf, UTC_WEEK, type SpendSeries } from '@meritorder/forecast-core';
import { describe, expect, it } from 'vitest';
import { amountAt, hourlyRate } from './hourly-rate.js';

/** 1970-01-05 was a Monday. */
const MONDAY = 96;
/** By day four times as much as by night. */
const office = (hour: number): number => (hour % 24 >= 8 && hour % 24 < 20 ? 160 : 40);
const series = (hours: number, factor = 1): SpendSeries => ({
  firstHour: MONDAY,
  amounts: Array.from({ length: hours }, (_, i) => factor * office(i)),
});
const rest = (hours: number, lessons: Parameters<typeof hourlyRate>[3]): number => {
  const traffic = { series: series(hours), sinceHours: MONDAY };
  return amountAt(hourlyRate(traffic, MONDAY + hours, UTC_WEEK, lessons), MONDAY + hours, MONDAY + 24);
};

describe('what a first day will bring', () => {
  it('is the mean so far while nothing is known of the day', () => {
    expect(rest(8, [])).toBeCloseTo(16 * 40, 6);
    expect(rest(14, [])).toBeCloseTo((10 * (8 * 40 + 6 * 160)) / 14, 6);
  });

  it("has the shape of the org's other budgets, whatever their amounts", () => {
    const lessons = [1, 50].map((factor) => lessonOf(series(60 * 24, factor)));
    const truth = (from: number): number =>
      series(24)
        .amounts.slice(from)
        .reduce((a, b) => a + b, 0);
    for (const hours of [4, 8, 14]) {
      expect(rest(hours, lessons) / truth(hours)).toBeGreaterThan(0.8);
      expect(rest(hours, lessons) / truth(hours)).toBeLessThan(1.2);
    }
    expect(rest(8, []) / truth(8)).toBeLessThan(0.4);
  });

  it('goes on so when a day is known and too little of its shape', () => {
    const traffic = { series: series(24), sinceHours: MONDAY };
    const day = (lessons: Parameters<typeof hourlyRate>[3]): number =>
      amountAt(hourlyRate(traffic, MONDAY + 24, UTC_WEEK, lessons), MONDAY + 32, MONDAY + 44);
    expect(day([lessonOf(series(14 * 24))])).toBeGreaterThan(day([]) * 1.2);
  });

  it('is no burst of the first seconds', () => {
    const traffic = { series: { firstHour: MONDAY, amounts: [30] }, sinceHours: MONDAY + 0.5 };
    expect(hourlyRate(traffic, MONDAY + 0.501, UTC_WEEK, [])(MONDAY)).toBeCloseTo(360, 0);
  });
});
