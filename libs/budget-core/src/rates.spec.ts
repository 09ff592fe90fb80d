import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { arrivalAfter, requestRate, tokenRate, waitMicros, type Rate } from './index.js';

const MINUTE = 60_000_000;

/** Admissions of somebody who asks all the time, in bursts and at random. */
function admissions(rate: Rate, random: () => number, units: () => number): { at: number; units: number }[] {
  const admitted: { at: number; units: number }[] = [];
  let now = 1_790_000_000_000_000;
  let arrival = 0;
  for (let i = 0; i < 20_000; i++) {
    const asked = units();
    const wait = waitMicros(rate, arrival, asked, now);
    if (wait === 0) {
      arrival = arrivalAfter(rate, arrival, asked, now);
      admitted.push({ at: now, units: asked });
    } else now += Math.min(wait ?? MINUTE, Math.ceil(random() * (wait ?? MINUTE) * 2));
  }
  return admitted;
}

function mostInAMinute(admitted: { at: number; units: number }[]): number {
  let most = 0;
  let from = 0;
  let sum = 0;
  for (const { at, units } of admitted) {
    sum += units;
    while (admitted[from]!.at <= at - MINUTE) sum -= admitted[from++]!.units;
    most = Math.max(most, sum);
  }
  return most;
}

describe('a rate', () => {
  it.each([1, 2, 7, 10, 19, 60, 500, 10_000])('of %i requests a minute is never passed in any minute', (perMinute) => {
    const admitted = admissions(requestRate(perMinute), seededRandom(perMinute), () => 1);
    expect(mostInAMinute(admitted)).toBeLessThanOrEqual(perMinute);
    expect(admitted.length).toBeGreaterThan(perMinute === 1 ? 10 : perMinute / 2);
  });

  it.each([1_000, 90_000, 2_000_000])(
    'of %i tokens a minute is never passed by requests of up to a tenth',
    (perMinute) => {
      const random = seededRandom(perMinute);
      const most = Math.floor(perMinute / 10);
      const admitted = admissions(tokenRate(perMinute), random, () => 1 + Math.floor(random() * most));
      expect(mostInAMinute(admitted)).toBeLessThanOrEqual(perMinute);
      expect(mostInAMinute(admitted)).toBeGreaterThan(perMinute / 2);
    },
  );

  it('a larger lump waits until everything before it is paid back, and is admitted then (a big request is not starved)', () => {
    const rate = tokenRate(1_000);
    const now = 1_000_000_000;
    expect(waitMicros(rate, 0, 900, now)).toBe(0);
    const arrival = arrivalAfter(rate, 0, 900, now);
    expect(waitMicros(rate, arrival, 900, now)).toBe(MINUTE);
    expect(waitMicros(rate, arrival, 900, now + MINUTE)).toBe(0);
  });

  it('what is larger than the limit of a minute is never admitted', () => {
    expect(waitMicros(tokenRate(1_000), 0, 1_001, 5)).toBeUndefined();
  });

  it('the wait that is told is enough, and one microsecond less is not', () => {
    const rate = requestRate(30);
    const now = 1_790_000_000_000_000;
    let arrival = 0;
    for (let i = 0; i < 3; i++) arrival = arrivalAfter(rate, arrival, 1, now);
    const wait = waitMicros(rate, arrival, 1, now)!;
    expect(wait).toBeGreaterThan(0);
    expect(waitMicros(rate, arrival, 1, now + wait)).toBe(0);
    expect(waitMicros(rate, arrival, 1, now + wait - 1)).toBe(1);
  });
});
