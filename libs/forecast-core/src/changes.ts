import type { Block } from './level.js';
import { median } from './statistics.js';

/** A level that changed from one day to the next and stayed. */
export interface Change {
  /** The first block of the new level. */
  readonly at: number;
  /** ln(new level / old one); NOTHING_LEFT where nothing came any more. */
  readonly log: number;
}

/** Days before and after that must all lie on their side of the change: noise seldom does that, growth of some % a day never. */
const DAYS_BEFORE = 3;
export const DAYS_AFTER = 2;
/** Where the weekdays are not known yet, a weekend must not pass for a change. */
const DAYS_AFTER_UNKNOWN_WEEK = 3;
/** The least of one side is so many times the most of the other. */
const LEAST_FACTOR = 1.6;
/** The new level is the median of so many days at most. */
const DAYS_OF_LEVEL = 7;
export const NOTHING_LEFT = -7;

/**
 * Where a level changed, oldest first. What is found at a block does not depend on what comes after the days that show it. A
 * series that begins has not changed.
 */
export function changesOf(blocks: readonly Block[], weekIsKnown: boolean): Change[] {
  const daysAfter = daysToSee(weekIsKnown);
  const changes: Change[] = [];
  // The oldest block may be part of a day, and the quiet part.
  const whole = blocks.findIndex(({ length }) => length === 1);
  for (let at = Math.max(0, whole) + DAYS_BEFORE; at + daysAfter <= blocks.length; at += 1) {
    const was = blocks.slice(at - DAYS_BEFORE, at).map(({ rate }) => rate);
    const is = blocks.slice(at, at + daysAfter).map(({ rate }) => rate);
    const [leastWas, mostIs] = [Math.min(...was), Math.max(...is)];
    if (leastWas <= 0) continue;
    if (Math.min(...is) < LEAST_FACTOR * Math.max(...was) && LEAST_FACTOR * mostIs > leastWas) continue;
    const level = median(blocks.slice(at, at + DAYS_OF_LEVEL).map(({ rate }) => rate));
    changes.push({ at, log: level > 0 ? Math.max(NOTHING_LEFT, Math.log(level / median(was))) : NOTHING_LEFT });
    at += daysAfter - 1;
  }
  return changes;
}

/** Days that a new level must have stayed for to be seen. */
export function daysToSee(weekIsKnown: boolean): number {
  return weekIsKnown ? DAYS_AFTER : DAYS_AFTER_UNKNOWN_WEEK;
}
