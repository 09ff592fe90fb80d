import { bestAt, type LoggedRequest } from './logged-requests.js';

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
/** And what they cost above the cheapest: where prices are hundreds of times apart, one request in a hundred can be most of it. */
const CHEAPEST_EXCESS = 0.02;
/** What comes is not what was logged: three ticks lead back from so much more. Chosen on ParetoBandit's validation prompts. */
const HEADROOM = 4;

/**
 * From a warm start: the least is a thousandth of the start value, the most where over 99 % of the logged requests already go
 * to their cheapest candidate and all together cost at most 2 % more than that, with headroom: a higher price would change nothing and only
 * take longer to come down from. Source: economics, section 2, which has the first condition alone; measured by bench:pacing at
 * $8.3e-5 a request and +80 %, that let 1 % of requests at 500 times the price take more than all the others.
 */
export function priceBounds(startLambda: number, log: readonly LoggedRequest[]): PriceBounds {
  const min = Math.max(ABSOLUTE_MIN, MIN_SHARE_OF_START * startLambda);
  if (log.length === 0) return { min, max: ABSOLUTE_MAX };
  const highest = cheapestEnough(log) * HEADROOM;
  return { min, max: Math.min(ABSOLUTE_MAX, Math.max(highest, startLambda, 10 * min)) };
}

function cheapestEnough(log: readonly LoggedRequest[]): number {
  const sorted = log.map((request) => ({ request, from: cheapestFrom(request) })).toSorted((a, b) => a.from - b.from);
  const cheapestUsd = ({ candidates }: LoggedRequest): number => Math.min(...candidates.map((c) => c.expectedUsd));
  const allowedUsd = CHEAPEST_EXCESS * log.reduce((sum, request) => sum + cheapestUsd(request), 0);
  // All up to this one are at their cheapest just above it, and they are more than the share.
  let last = Math.min(log.length - 1, Math.floor(CHEAPEST_SHARE * log.length));
  const excessUsd = (lambda: number): number =>
    sorted
      .slice(last + 1)
      .reduce((sum, { request }) => sum + bestAt(request.candidates, lambda).expectedUsd - cheapestUsd(request), 0);
  while (last < log.length - 1 && excessUsd(sorted[last]!.from) > allowedUsd) last += 1;
  return sorted[last]!.from;
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
