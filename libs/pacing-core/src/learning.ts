import type { LoggedRequest } from './logged-requests.js';
import { priceBounds, type PriceBounds } from './price-bounds.js';
import { within, type ShadowPrice } from './shadow-price.js';
import { spendingCurve, type SpendingCurve } from './spending-curve.js';
import { LEAST_REQUESTS } from './tick.js';

export interface Learned {
  lambda: number;
  bounds: PriceBounds;
  curve: SpendingCurve | undefined;
}

/**
 * What logged requests of one budget say of its price.
 * @param log values less what its other budgets count. @param sought the price that was found or is in force; where
 * not even the cheapest would last it is brought to that at which the cheapest is taken, for a higher one changes nothing.
 */
export function learned(log: readonly LoggedRequest[], sought: number): Learned {
  const lambda = Math.min(sought, priceBounds(0, log).max);
  const bounds = priceBounds(lambda, log);
  return { lambda, bounds, curve: spendingCurve(log, bounds) };
}

/**
 * Whether a tick is due and as many requests came as the curve was drawn from: it is drawn of 30, twice as many and so on, and
 * of a log that is full when all of it is new.
 */
export function isLogDue({ open, requestsSinceCurve = 0, curve }: ShadowPrice): boolean {
  return open.requests >= LEAST_REQUESTS && requestsSinceCurve + open.requests >= (curve?.requests ?? 0);
}

/** The same price with the bounds and the curve of a newer log, of which fewer than 30 say nothing; routers are told by the next tick. */
export function withLog(price: ShadowPrice, log: readonly LoggedRequest[]): ShadowPrice {
  if (log.length < LEAST_REQUESTS) return price;
  const { bounds, curve } = learned(log, price.beforeExhaustion ?? price.lambda);
  const exhausted = price.beforeExhaustion !== null;
  return {
    ...price,
    bounds,
    curve,
    requestsSinceCurve: 0,
    lambda: exhausted ? bounds.max : within(bounds, price.lambda),
    beforeExhaustion: exhausted ? within(bounds, price.beforeExhaustion!) : null,
  };
}
