import { expect, it } from 'vitest';
import { FROM_MS } from '../fixture.for-tests.js';
import { ArrivalsForecast } from './arrivals-forecast.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Requests at even distances within each hour, as many as the function says. */
function arrivals(hours: number, perHour: (hour: number) => number): Float64Array {
  return Float64Array.from(
    Array.from({ length: hours }, (_, hour) => {
      const count = perHour(hour);
      return Array.from({ length: count }, (__, i) => FROM_MS + (hour + i / count) * HOUR_MS);
    }).flat(),
  );
}
/** As it is when all until an instant have come. */
function at(all: Float64Array, nowMs: number): ArrivalsForecast {
  const forecast = new ArrivalsForecast(all);
  for (const ms of all) if (ms <= nowMs) forecast.arrived(ms);
  return forecast;
}

it('goes on when the workload is over', () => {
  const forecast = at(
    arrivals(7 * 24, () => 60),
    FROM_MS + 7 * DAY_MS,
  );
  const toCome = forecast.from(FROM_MS + 7 * DAY_MS, FROM_MS + 30 * DAY_MS, 'UTC');
  expect(toCome / (23 * 24 * 60)).toBeCloseTo(1, 1);
});

it('has the shape of days from the first request on, and knows no surge before it comes', () => {
  const usual = (hour: number): number => (hour % 24 < 12 ? 20 : 100);
  const surge = (hour: number): number => (hour >= 20 * 24 && hour < 21 * 24 ? 10 : 1) * usual(hour);
  const first = FROM_MS + HOUR_MS / 2;
  const steady = at(arrivals(28 * 24, usual), first);
  const morning = steady.from(FROM_MS, FROM_MS + DAY_MS / 2, 'UTC');
  expect(steady.from(FROM_MS, FROM_MS + DAY_MS, 'UTC') / morning).toBeGreaterThan(4);
  const before = FROM_MS + 19.9 * DAY_MS;
  const [from, until] = [FROM_MS + 20 * DAY_MS, FROM_MS + 21 * DAY_MS];
  const [known, unknown] = [usual, surge].map((of) => at(arrivals(28 * 24, of), before).from(from, until, 'UTC'));
  expect(unknown! / known!).toBeLessThan(1.5);
});

it('is the mean so far where the workload has no whole day', () => {
  const forecast = at(
    arrivals(3, () => 60),
    FROM_MS + 3 * HOUR_MS,
  );
  const nowMs = FROM_MS + 3 * HOUR_MS;
  expect(forecast.from(nowMs, nowMs + 10 * HOUR_MS, 'UTC')).toBeCloseTo(600, 0);
  expect(forecast.until(nowMs, FROM_MS + HOUR_MS, 'UTC')).toBeCloseTo(120, 0);
});
