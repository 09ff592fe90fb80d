import { HOURS_PER_DAY } from './spend-series.js';

/** How a series is used: all the time, now and then, or no longer. They are forecast and judged apart. */
export type Activity = 'steady' | 'sporadic' | 'silent' | 'unseen';

export interface ActivityReading {
  readonly activity: Activity;
  /** Share of its level that is expected to come: 1, and towards 0 the longer it has been silent for. */
  readonly alive: number;
}

/** Share of the last days' hours in which something was used, from which it is steady: eight hours of a working day are. */
const STEADY_SHARE = 0.3;
const RECENT_HOURS = 3 * HOURS_PER_DAY;
/** Silence up to its longest so far, and up to a usual day, says nothing; after half as much again it is taken for over. */
const LEAST_SILENCE_DAYS = 1;
const OVER_AFTER = 1.5;

/**
 * How a series is used now. Silence is counted in usual days, so that an office's weekend is none.
 * @param usual for each amount, how much of the mean day's use is usual on such a weekday
 */
export function activityOf(amounts: readonly number[], usual: readonly number[]): ActivityReading {
  let [silent, longest, seen] = [0, 0, false];
  for (const [i, amount] of amounts.entries()) {
    if (amount > 0) {
      longest = Math.max(longest, seen ? silent : 0);
      [silent, seen] = [0, true];
    } else silent += usual[i]! / HOURS_PER_DAY;
  }
  if (!seen) return { activity: 'unseen', alive: 0 };
  const allowed = Math.max(LEAST_SILENCE_DAYS, longest);
  const alive = Math.min(1, Math.max(0, (OVER_AFTER - silent / allowed) / (OVER_AFTER - 1)));
  if (silent >= LEAST_SILENCE_DAYS) return { activity: 'silent', alive };
  return { activity: shareUsed(amounts, usual) >= STEADY_SHARE ? 'steady' : 'sporadic', alive };
}

/** Since it was first used, so that a new one is not held to be sporadic. */
function shareUsed(amounts: readonly number[], usual: readonly number[]): number {
  const from = Math.max(
    amounts.findIndex((amount) => amount > 0),
    amounts.length - RECENT_HOURS,
  );
  let [used, all] = [0, 0];
  for (let i = from; i < amounts.length; i += 1) {
    all += usual[i]!;
    if (amounts[i]! > 0) used += usual[i]!;
  }
  return used / all;
}
