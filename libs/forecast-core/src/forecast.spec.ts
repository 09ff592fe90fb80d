import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import {
  changesOf,
  emptySeries,
  forecastWindow,
  lessonOf,
  seriesOfDays,
  type ForecastRequest,
  type SpendSeries,
} from './index.js';

const DAY = 24;
/** Monday 2026-06-01 in hours since 1970. */
const MONDAY = Date.parse('2026-06-01T00:00:00Z') / 3_600_000;

/** Office hours, little on weekends, with 20 % noise by the hour. */
function office(days: number, seed: number, level: (day: number) => number = () => 1): SpendSeries {
  const random = seededRandom(seed);
  const amounts = Array.from({ length: days * DAY }, (_, i) => {
    const [day, hour] = [Math.floor(i / DAY), i % DAY];
    const usual = (day % 7 < 5 ? 1 : 0.2) * (hour >= 8 && hour < 18 ? 10 : 1);
    return level(day) * usual * (0.8 + 0.4 * random());
  });
  return { firstHour: MONDAY, amounts };
}

const total = (series: SpendSeries, fromDay: number, toDay: number): number =>
  series.amounts.slice(fromDay * DAY, toDay * DAY).reduce((sum, amount) => sum + amount, 0);
const windowOf = (fromDay: number, toDay: number) => ({
  startHour: MONDAY + fromDay * DAY,
  endHour: MONDAY + toDay * DAY,
});
const others = (days: number, count = 8) => Array.from({ length: count }, (_, i) => lessonOf(office(days, 100 + i)));
const ask = (over: Partial<ForecastRequest> & Pick<ForecastRequest, 'series'>): ForecastRequest => ({
  window: windowOf(28, 56),
  nowHours: MONDAY + 36 * DAY + 7,
  ...over,
});

describe('the forecast of a window’s end', () => {
  it('is within 3 % of a noisy office’s total after 30 % of it, wherever in the week and day now is', () => {
    const series = office(56, 1);
    for (let day = 36; day < 43; day += 1)
      for (const hour of [0, 9, 20]) {
        const { unconstrained } = forecastWindow(ask({ series, nowHours: MONDAY + day * DAY + hour }));
        expect(Math.abs(unconstrained.expected / total(series, 28, 56) - 1)).toBeLessThan(0.03);
      }
  });

  it('knows the weekend of a series without history by the org’s other series', () => {
    const series = office(14, 2);
    const request = ask({ series, window: windowOf(0, 14), nowHours: MONDAY + 5 * DAY });
    const error = (lessons: ForecastRequest['lessons']): number =>
      Math.abs(
        forecastWindow({ ...request, ...(lessons && { lessons }) }).unconstrained.expected / total(series, 0, 14) - 1,
      );
    const alone = error(undefined);
    // On Friday night after four weeks; the new one begins four weeks later, on a Monday too.
    const taught = error(others(26));
    expect(alone).toBeGreaterThan(0.2);
    expect(taught).toBeLessThan(0.05);
  });

  it('follows a level that tripled: three days later the rest is expected at the new one', () => {
    const series = office(56, 3, (day) => (day >= 35 ? 3 : 1));
    const { unconstrained } = forecastWindow(ask({ series, nowHours: MONDAY + 40 * DAY }));
    expect(unconstrained.expected / total(series, 28, 56)).toBeGreaterThan(0.8);
    expect(unconstrained.expected / total(series, 28, 56)).toBeLessThan(1.1);
  });

  it('one day a hundred times as large moves what is expected of the rest by less than half', () => {
    const calm = office(56, 4);
    const amounts = calm.amounts.map((amount, i) => (Math.floor(i / DAY) === 35 ? 100 * amount : amount));
    const rest = (series: SpendSeries): number => {
      const { spent, unconstrained } = forecastWindow(ask({ series, nowHours: MONDAY + 37 * DAY }));
      return unconstrained.expected - spent;
    };
    expect(rest({ ...calm, amounts }) / rest(calm)).toBeLessThan(1.5);
  });

  it('a series that stopped is not expected back, and one that pauses on every weekend is', () => {
    const stopped = office(56, 5, (day) => (day >= 33 ? 0 : 1));
    const after = forecastWindow(ask({ series: stopped, nowHours: MONDAY + 38 * DAY }));
    expect(after.basis.activity).toBe('silent');
    expect(after.unconstrained.expected).toBe(after.spent);
    const working = office(56, 6, (day) => (day % 7 < 5 ? 1 : 0));
    const onSunday = forecastWindow(ask({ series: working, nowHours: MONDAY + 41 * DAY + 20 }));
    expect(Math.abs(onSunday.unconstrained.expected / total(working, 28, 56) - 1)).toBeLessThan(0.1);
  });

  it('looks at nothing that happens later', () => {
    const series = office(56, 7);
    const cut = { ...series, amounts: series.amounts.slice(0, 36 * DAY + 7) };
    expect(forecastWindow(ask({ series }))).toEqual(forecastWindow(ask({ series: cut })));
  });

  it('is the same in another unit', () => {
    const series = office(56, 8);
    const cents = { ...series, amounts: series.amounts.map((amount) => amount * 100) };
    const [dollars, scaled] = [series, cents].map((of) => forecastWindow(ask({ series: of })).unconstrained);
    for (const key of ['expected', 'low', 'high'] as const) expect(scaled![key] / dollars![key]).toBeCloseTo(100, 6);
  });

  it('is what was spent when the window is over, without doubt', () => {
    const series = office(56, 9);
    const { spent, unconstrained } = forecastWindow(
      ask({ series, nowHours: MONDAY + 56 * DAY, limit: total(series, 28, 56) + 1 }),
    );
    expect([unconstrained.expected, unconstrained.low, unconstrained.high]).toEqual([spent, spent, spent]);
    expect(unconstrained.chanceAboveLimit).toBe(0);
  });

  it('starts from what the books say was spent, with the part of the hour that is over', () => {
    const series = office(56, 10);
    const now = MONDAY + 36 * DAY + 9.5;
    const at9 = forecastWindow(ask({ series, nowHours: Math.floor(now) }));
    const half = forecastWindow(ask({ series, nowHours: now, spent: at9.spent + 5 }));
    expect(half.spent).toBe(at9.spent + 5);
    expect(half.unconstrained.expected / at9.unconstrained.expected).toBeCloseTo(1, 2);
  });

  it('of a series that nobody used is 0, with room upwards by how the others began', () => {
    const series = { firstHour: MONDAY, amounts: Array.from({ length: 5 * DAY }, () => 0) };
    const request = ask({ series, window: windowOf(0, 14), nowHours: MONDAY + 5 * DAY });
    expect(forecastWindow(request).unconstrained).toMatchObject({ expected: 0, low: 0, high: 0 });
    const known = forecastWindow({ ...request, lessons: others(5) });
    expect(known.unconstrained).toMatchObject({ expected: 0, low: 0 });
    expect(known.unconstrained.high).toBeGreaterThan(0);
    expect(forecastWindow({ ...request, series: emptySeries(MONDAY) }).basis.activity).toBe('unseen');
  });

  it('of days alone is of the weeks’ shape, with flat days', () => {
    const daily = seriesOfDays(
      MONDAY,
      Array.from({ length: 40 }, (_, day) => (day % 7 < 5 ? 100 : 20)),
    );
    const { unconstrained } = forecastWindow(ask({ series: daily, nowHours: MONDAY + 40 * DAY }));
    expect(Math.abs(unconstrained.expected / 2_160 - 1)).toBeLessThan(0.05);
  });
});

describe('a change of level', () => {
  const blocks = (...rates: number[]) =>
    rates.map((rate, i) => ({ rate, length: i === 0 ? 0.3 : 1, amount: rate, usualDays: 1 }));

  it('is not seen between a part of a day with two of a weekend and the working days that follow', () => {
    expect(changesOf(blocks(1, 1, 1, 3, 3, 3), false)).toEqual([]);
    expect(changesOf(blocks(1, 1, 1, 1, 3, 3, 3), false)).toMatchObject([{ at: 4 }]);
  });
});

describe('the interval', () => {
  it('of a first morning holds a day of office hours, of which nobody has shown one yet', () => {
    const series = office(1, 14);
    const { spent, unconstrained } = forecastWindow({ series, window: windowOf(0, 1), nowHours: MONDAY + 9 });
    expect(total(series, 0, 1)).toBeGreaterThan(3 * spent);
    expect(unconstrained.low).toBeLessThan(total(series, 0, 1));
    expect(unconstrained.high).toBeGreaterThan(total(series, 0, 1));
  });

  it('of unlike random walks holds 70 to 90 % of the totals, judged by the others alone', () => {
    let [inside, all] = [0, 0];
    for (let org = 0; org < 6; org += 1) {
      const series = Array.from({ length: 10 }, (_, i) => {
        const random = seededRandom(1_000 * org + i);
        let level = 0;
        const levels = Array.from({ length: 28 }, () => Math.exp((level += (random() - 0.5) * 0.08 * (1 + i))));
        return office(28, 50 * org + i, (day) => levels[day]!);
      });
      const now = MONDAY + 15 * DAY;
      const lessons = series.map((s) => lessonOf({ ...s, amounts: s.amounts.slice(0, 15 * DAY) }));
      for (const [i, one] of series.entries()) {
        const { unconstrained } = forecastWindow({
          series: one,
          window: windowOf(0, 28),
          nowHours: now,
          lessons: lessons.filter((_, j) => j !== i),
        });
        all += 1;
        if (unconstrained.low <= total(one, 0, 28) && total(one, 0, 28) <= unconstrained.high) inside += 1;
      }
    }
    expect(inside / all).toBeGreaterThan(0.7);
    expect(inside / all).toBeLessThan(0.95);
  });

  it('always holds the forecast, grows with the confidence and shrinks towards the end', () => {
    const series = office(56, 11);
    const at = (day: number, confidence = 0.8) =>
      forecastWindow(ask({ series, nowHours: MONDAY + day * DAY, confidence })).unconstrained;
    const width = ({ low, high }: { low: number; high: number }): number => high - low;
    for (const day of [29, 35, 45, 55]) {
      const { low, expected, high } = at(day);
      expect(low).toBeLessThanOrEqual(expected);
      expect(high).toBeGreaterThanOrEqual(expected);
      expect(width(at(day, 0.9))).toBeGreaterThan(width(at(day, 0.8)));
    }
    expect(width(at(55))).toBeLessThan(width(at(45)));
    expect(width(at(45))).toBeLessThan(width(at(35)));
  });

  it('the chance of a total above a limit falls with the limit and agrees with the interval’s ends', () => {
    const series = office(56, 12);
    const { spent, unconstrained } = forecastWindow(ask({ series, lessons: others(36) }));
    const chance = (limit: number): number =>
      forecastWindow(ask({ series, lessons: others(36), limit })).unconstrained.chanceAboveLimit!;
    expect(chance(unconstrained.low)).toBeCloseTo(0.9, 2);
    expect(chance(unconstrained.high)).toBeCloseTo(0.1, 2);
    expect(chance(spent * 0.99)).toBe(1);
    expect(chance(unconstrained.high * 1_000)).toBe(0);
    const falling = [0.9, 0.95, 1, 1.05, 1.1].map((factor) => chance(unconstrained.expected * factor));
    expect(falling).toEqual(falling.toSorted((a, b) => b - a));
  });
});

describe('the two lines', () => {
  const series = office(56, 13);
  const plain = forecastWindow(ask({ series })).unconstrained;

  it('with pacing that holds nothing back are the same', () => {
    const { unconstrained, withPacing } = forecastWindow(ask({ series, pacing: [1e9] }));
    expect(withPacing).toEqual(unconstrained);
    expect(unconstrained).toEqual(plain);
  });

  it('with pacing never exceed its trajectory, and leave the unconstrained one alone', () => {
    const pacing = Array.from({ length: 20 * DAY }, (_, i) => (i % 2 === 0 ? 1 : 2));
    const { spent, unconstrained, withPacing } = forecastWindow(ask({ series, pacing, limit: plain.expected * 0.9 }));
    expect(withPacing!.high - spent).toBeLessThanOrEqual(pacing.reduce((sum, cap) => sum + cap, 0));
    expect(withPacing!.chanceAboveLimit).toBe(0);
    expect(unconstrained.chanceAboveLimit).toBeGreaterThan(0.5);
    expect(unconstrained.expected).toBe(plain.expected);
  });

  it('rise to the total by the end of the window, a point a day', () => {
    expect(plain.line).toHaveLength(20);
    expect(plain.line.at(-1)).toEqual({
      hour: MONDAY + 56 * DAY,
      expected: plain.expected,
      low: plain.low,
      high: plain.high,
    });
    expect(plain.line.map(({ expected }) => expected)).toEqual(
      plain.line.map(({ expected }) => expected).toSorted((a, b) => a - b),
    );
  });
});
