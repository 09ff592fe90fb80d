import { invariant } from '@meritorder/kernel';
import { ABSOLUTE_MIN } from './price-bounds.js';
import { newTrail, partOf, within, type PacedWindow, type ShadowPrice, type Trail } from './shadow-price.js';

/**
 * The price at the beginning of a budget's next window: what it was at the same time of the one that ended, not what it was at
 * its end, when little or much was left for few requests. What is known of demand goes on; what was counted for a tick that
 * was not made goes on too, for those requests were not paced.
 *
 * @throws InvariantError when the window is the one that the price is of.
 */
export function beginWindow(price: ShadowPrice, window: PacedWindow, nowMs: number): ShadowPrice {
  invariant(window.id !== price.window.id, `the window ${window.id} has begun already`);
  const part = partOf(window, nowMs);
  const start = (part === null ? null : nearest(price.trail, part)) ?? price.beforeExhaustion ?? price.lambda;
  // The least is a thousandth of the new start value.
  const bounds = {
    min: Math.min(Math.max(ABSOLUTE_MIN, 1e-3 * start), price.bounds.max / 10),
    max: price.bounds.max,
  };
  const lambda = within(bounds, start);
  return {
    ...price,
    window,
    bounds,
    lambda,
    published: lambda,
    beforeExhaustion: null,
    trail: newTrail(),
  };
}

/** The mean of a part of the window, or of the nearest that has one. Null: no tick was ever made. */
function nearest(trail: Trail, part: number): number | null {
  let best: number | null = null;
  trail.forEach(({ ticks }, index) => {
    if (ticks > 0 && (best === null || Math.abs(index - part) < Math.abs(best - part))) best = index;
  });
  if (best === null) return null;
  const { logSum, ticks } = trail[best]!;
  return Math.exp(logSum / ticks);
}
