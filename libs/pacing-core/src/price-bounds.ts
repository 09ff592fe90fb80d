import type { LoggedRequest } from './logged-requests.js';

/** Between which values a shadow price stays: never 0, from which no factor leads back, and never without an end. */
export interface PriceBounds {
  min: number;
  max: number;
}

/**
 * The least that a price can be where nothing is known, or the start value is next to nothing. Absolute: beside k = 1 a
 * thousandth does not change a choice.
 */
export const ABSOLUTE_MIN = 1e-3;
/** Above every price at which anything but the cheapest has been seen to be worth its money. */
const ABSOLUTE_MAX = 1e6;
export const COLD_BOUNDS: PriceBounds = { min: ABSOLUTE_MIN, max: ABSOLUTE_MAX };

const MIN_SHARE_OF_START = 1e-3;
const CHEAPEST_SHARE = 0.99;

/**
 * From a warm start: the least is a thousandth of the start value, the most where over 99 % of the logged requests already go
 * to their cheapest candidate, so that a higher price would change nothing and only take longer to come down from.
 * Source: economics, section 2.
 */
export function priceBounds(startLambda: number, log: readonly LoggedRequest[]): PriceBounds {
  const min = Math.max(ABSOLUTE_MIN, MIN_SHARE_OF_START * startLambda);
  if (log.length === 0) return { min, max: ABSOLUTE_MAX };
  const thresholds = log.map(cheapestFrom).toSorted((a, b) => a - b);
  // All up to this one are at their cheapest just above it, and they are more than the share.
  const last = thresholds[Math.min(log.length - 1, Math.floor(CHEAPEST_SHARE * log.length))]!;
  return { min, max: Math.min(ABSOLUTE_MAX, Math.max(last * (1 + 1e-9), startLambda, 10 * min)) };
}

/** Above which price the cheapest candidate is the best: exact, for value is linear in the price. */
function cheapestFrom(request: LoggedRequest): number {
  const cheapest = request.candidates.reduce((a, b) =>
    b.expectedUsd < a.expectedUsd || (b.expectedUsd === a.expectedUsd && b.valueUsd > a.valueUsd) ? b : a,
  );
  let from = 0;
  for (const { valueUsd, expectedUsd } of request.candidates) {
    if (expectedUsd > cheapest.expectedUsd)
      from = Math.max(from, (valueUsd - cheapest.valueUsd) / (expectedUsd - cheapest.expectedUsd) - 1);
  }
  return from;
}
