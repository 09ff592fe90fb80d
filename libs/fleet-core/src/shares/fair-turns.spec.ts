import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { FairTurns } from './fair-turns.js';
import { comeBackInSeconds, expectedSlotSeconds } from './slot-wait.js';

/** Who has each of so many slots, of orgs that always want one; the first of equals is the one named first. */
function played(weights: Record<string, number>, slots: number): string {
  const turns = new FairTurns((org) => weights[org]!);
  let taken = '';
  for (let i = 0; i < slots; i++) {
    const next = Object.keys(weights).toSorted((a, b) => turns.timeOf(a) - turns.timeOf(b))[0]!;
    turns.took(next);
    taken += next;
  }
  return taken;
}

describe('turns of orgs', () => {
  it.each<[string, Record<string, number>, string]>([
    ['are one each', { a: 1, b: 1, c: 1 }, 'abcabc'],
    ['follow weights', { a: 1, b: 3 }, 'abbbabbb'],
  ])('%s', (_name, weights, expected) => {
    expect(played(weights, expected.length)).toBe(expected);
  });

  it('are not saved up by staying away: one that comes anew is next, and then takes turns', () => {
    const turns = new FairTurns(() => 1);
    for (let i = 0; i < 50; i++) turns.took('busy');
    expect(turns.timeOf('new')).toBeLessThan(turns.timeOf('busy'));
    turns.took('new');
    expect(turns.timeOf('new')).toBeGreaterThanOrEqual(turns.timeOf('busy'));
  });

  it('are not gained by coming one by one', () => {
    const turns = new FairTurns(() => 1);
    let single = 0;
    for (let i = 0; i < 100; i++) {
      const isNext = turns.timeOf('single') < turns.timeOf('burst');
      turns.took(isNext ? 'single' : 'burst');
      if (isNext) single++;
    }
    expect(single).toBeGreaterThanOrEqual(49);
    expect(single).toBeLessThanOrEqual(51);
  });
});

describe('when to come back', () => {
  it.each([
    ['alone, as long as a request takes', { ahead: 0, share: 1, slots: 1, secondsEach: 3 }, 3],
    ['behind others of its org', { ahead: 7, share: 1, slots: 2, secondsEach: 3 }, 12],
    ['on its part of the slots', { ahead: 0, share: 0.25, slots: 2, secondsEach: 3 }, 6],
  ])('%s', (_name, line, seconds) => {
    expect(expectedSlotSeconds(line)).toBe(seconds);
  });

  it('is a second to a minute from now, not before a slot is expected, and never the same for all', () => {
    const random = seededRandom(3);
    for (const expected of [0, 0.01, 2, 10, 25, 1_000, Infinity]) {
      const seconds = Array.from({ length: 200 }, () => comeBackInSeconds(expected, random()));
      expect(Math.min(...seconds)).toBeGreaterThanOrEqual(Math.max(1, Math.min(expected, 30)));
      expect(Math.max(...seconds)).toBeLessThanOrEqual(60);
      expect(new Set(seconds).size).toBeGreaterThanOrEqual(4);
    }
  });
});
