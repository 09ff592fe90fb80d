import { invariant } from '@meritorder/kernel';
import { ABSOLUTE_MIN } from './price-bounds.js';
import { within, type PacedWindow, type ShadowPrice } from './shadow-price.js';

/**
 * The price at the beginning of a budget's next window: the geometric mean over the ticks of the one that ended, for the best price
 * of a window is one price. Not that of its end, when little or much was left for few requests; nor that of the same
 * time, as economics has it: where mornings were too cheap they would begin too cheap again, day after day. What is known of
 * demand goes on; what was counted for a tick that was not made goes on too, for those requests were not paced.
 *
 * @throws InvariantError when the window is the one that the price is of.
 */
export function beginWindow(price: ShadowPrice, window: PacedWindow): ShadowPrice {
  invariant(window.id !== price.window.id, `the window ${window.id} has begun already`);
  const { ticked } = price;
  const start = ticked ? Math.exp(ticked.logSum / ticked.count) : (price.beforeExhaustion ?? price.lambda);
  // The least is a thousandth of the new start value.
  const bounds = {
    min: Math.min(Math.max(ABSOLUTE_MIN, 1e-3 * start), price.bounds.max / 10),
    max: price.bounds.max,
  };
  const lambda = within(bounds, start);
  return { ...price, window, bounds, lambda, published: lambda, beforeExhaustion: null, ticked: undefined };
}
