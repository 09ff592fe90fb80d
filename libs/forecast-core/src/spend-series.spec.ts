import { describe, expect, it } from 'vitest';
import { amountBetween, emptySeries, hourOfWeekIn, HOURS_KEPT, knownUntil, recordSpend, UTC_WEEK } from './index.js';

const hourAt = (text: string): number => Date.parse(text) / 3_600_000;

describe('a series of hours', () => {
  it('adds up amounts of an hour, late ones too, and counts hours without any as 0', () => {
    const series = [
      [3, 5],
      [1, 2],
      [3, 1],
    ].reduce((state, [hour, amount]) => recordSpend(state, hour!, amount!), emptySeries(0));
    expect(series.amounts).toEqual([0, 2, 0, 6]);
    expect(amountBetween(series, 1, 4)).toBe(8);
    expect(knownUntil(series, 6).amounts).toEqual([0, 2, 0, 6, 0, 0]);
  });

  it('is of bounded size and survives JSON', () => {
    const series = recordSpend(recordSpend(emptySeries(0), 0, 1), 10 ** 9, 2);
    expect(series.amounts).toHaveLength(HOURS_KEPT);
    expect(series.amounts.at(-1)).toBe(2);
    expect(recordSpend(series, 5, 1)).toBe(series);
    expect(JSON.parse(JSON.stringify(series))).toEqual(series);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('refuses the amount %s', (amount) => {
    expect(() => recordSpend(emptySeries(0), 0, amount)).toThrow(/finite and not negative/);
  });
});

describe('the hour of the week', () => {
  it('counts from Monday 0:00', () => {
    expect(UTC_WEEK(hourAt('2026-06-01T00:00:00Z'))).toBe(0);
    expect(UTC_WEEK(hourAt('2026-06-07T23:00:00Z'))).toBe(167);
  });

  it.each([
    ['Europe/Berlin', '2026-03-29T00:00:00Z', 145],
    ['Europe/Berlin', '2026-03-29T01:00:00Z', 147],
    ['America/New_York', '2026-06-01T03:00:00Z', 167],
    ['Asia/Tokyo', '2026-06-01T00:00:00Z', 9],
  ])('is that of %s at %s, whatever the clocks do', (zone, instant, expected) => {
    expect(hourOfWeekIn(zone)(hourAt(instant))).toBe(expected);
  });
});
