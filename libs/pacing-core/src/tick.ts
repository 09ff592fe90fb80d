import { invariant, type Nanos } from '@meritorder/kernel';
import { countDemand, demandLevel } from './demand.js';
import { countDearness, dearness } from './dearness.js';
import { foresight } from './foresight.js';
import { within, type ShadowPrice } from './shadow-price.js';

/** What is known of a budget's window when its price is ticked. */
export interface BudgetReading {
  limitNanos: Nanos;
  /** Settled and unconfirmed. */
  spentNanos: Nanos;
  /** Sum of E[cost] of attempts that are neither settled nor released, USD: not their bound. */
  inFlightUsd: number;
  /** Requests that had been forecast from `demand.atMs` of the price until now. */
  forecastRequests: number;
  /** Requests that are forecast from now until the window ends. */
  forecastRequestsToEnd: number;
  /** Mean E[cost] of the cheapest candidate of a request that matches the budget, USD; absent: as was logged. */
  cheapestUsdPerRequest?: number | undefined;
}

/** A changed price that routers are to be told, with the numbers that say why. */
export interface PriceChange {
  direction: 'tightened' | 'relaxed';
  reason: 'exhausted' | 'room-again' | 'spends-more-than-lasts' | 'spends-less-than-lasts';
  from: number;
  to: number;
  /** Of the tick, USD per request; null where there was none. */
  spentUsdPerRequest: number | null;
  affordableUsdPerRequest: number;
  /** Demand over its forecast. */
  level: number;
  remainingUsd: number;
}

export interface Tick {
  price: ShadowPrice;
  change: PriceChange | null;
}

/** Fewer are noise: at 5 the price follows single requests. Source: economics, section 2. */
export const LEAST_REQUESTS = 30;
/** Share of the limit that the price does not plan with, so that the last requests of a window are not refused. */
export const BUFFER = 0.0075;
/** A pico-dollar per request: nothing costs less that costs anything. */
const EPSILON_USD = 1e-12;
const GREATEST_ERROR = 1.5;
const GAIN = 0.3;
const FULL_GAIN_REQUESTS = 50;
/** By what factor the cheapest candidates may differ from the logged ones until they are thought to be of something else. */
const OTHER_STREAM = 2;
const DAY_MS = 86_400_000;
/** Routers are told when what a dollar counts, 1 + lambda, has moved by this factor since they were: few choices turn on less. */
export const PUBLISHED_FACTOR = 1.1;

/**
 * One step of the controller. Does nothing before 30 requests are counted, except that a budget with nothing left is at its
 * highest price at once, and off it when there is room again.
 *
 *     s = sum E[cost] + sum (actual - E[cost]);  R = max(0, limit x (1 - buffer) - spent - E[in flight])
 *     rho = R / max(1, level x forecast requests to the end) x foresight;  e = clip(ln((s/n) / rho), -1.5, 1.5)
 *     lambda <- clip(lambda x exp(0.3 x min(1, n/50) x e), min, max)
 *
 * Source: economics, section 2; foresight is 1 where no curve is known. @throws InvariantError when a reading is not a number.
 */
export function tick(price: ShadowPrice, reading: BudgetReading, nowMs: number): Tick {
  const { open } = price;
  const enough = open.requests >= LEAST_REQUESTS;
  const counted = enough || (price.beforeExhaustion !== null && remaining(reading) > 0);
  const demand = counted
    ? countDemand(price.demand, { requests: open.requests, forecastRequests: reading.forecastRequests }, nowMs)
    : price.demand;
  const level = demandLevel(demand);
  const remainingUsd = remaining(reading);
  const affordable = remainingUsd / Math.max(1, level * reading.forecastRequestsToEnd);
  invariant(Number.isFinite(affordable), `what is affordable is a number: ${affordable}`);
  const spent = (open.expectedUsd + open.correctionUsd) / Math.max(1, open.requests);
  const next = { ...price, demand, open: counted ? { requests: 0, expectedUsd: 0, correctionUsd: 0 } : open };

  const numbers = {
    spentUsdPerRequest: enough ? spent : null,
    affordableUsdPerRequest: affordable,
    level,
    remainingUsd,
  };
  if (remainingUsd === 0) {
    next.beforeExhaustion = price.beforeExhaustion ?? price.lambda;
    next.lambda = price.bounds.max;
    return published(price, next, 'exhausted', numbers, true);
  }
  if (price.beforeExhaustion !== null) {
    // From here on as before; what was counted while nothing was left says nothing of this price.
    next.lambda = within(price.bounds, price.beforeExhaustion);
    next.beforeExhaustion = null;
    return published(price, next, 'room-again', numbers, true);
  }
  if (!enough) return { price: next, change: null };
  next.dearness = countDearness(price.dearness, open);
  next.requestsSinceCurve = (price.requestsSinceCurve ?? 0) + open.requests;
  const aimedUsd = aimUsd(next, affordable, reading, nowMs);
  const error = errorOf(spent, aimedUsd);
  next.lambda = within(
    price.bounds,
    price.lambda * Math.exp(GAIN * Math.min(1, open.requests / FULL_GAIN_REQUESTS) * error),
  );
  const { count = 0, logSum = 0 } = price.ticked ?? {};
  next.ticked = { count: count + 1, logSum: logSum + Math.log(next.lambda) };
  const reason = error > 0 ? 'spends-more-than-lasts' : 'spends-less-than-lasts';
  return published(price, next, reason, { ...numbers, affordableUsdPerRequest: aimedUsd }, false);
}

/**
 * What a request should cost on average, USD: what is affordable, ahead of or behind demand as its uncertainty asks. The curve is
 * brought from what was logged to what comes by what both know of, the cheapest candidates, and by what attempts really cost.
 */
function aimUsd(price: ShadowPrice, affordableUsd: number, reading: BudgetReading, nowMs: number): number {
  const { curve, window } = price;
  if (!curve || window.endMs === null) return affordableUsd;
  const loggedUsd = curve.usdPerRequest.at(-1)!;
  const cheapestUsd = reading.cheapestUsdPerRequest ?? loggedUsd;
  const stream = loggedUsd > 0 ? Math.min(OTHER_STREAM, Math.max(1 / OTHER_STREAM, cheapestUsd / loggedUsd)) : 1;
  const scale = stream * dearness(price.dearness);
  return affordableUsd * foresight(curve, affordableUsd / scale, (window.endMs - nowMs) / DAY_MS);
}

/** USD that may still be spent: less than is left by the buffer, and by what is expected of requests in flight. */
function remaining({ limitNanos, spentNanos, inFlightUsd }: BudgetReading): number {
  invariant(Number.isFinite(inFlightUsd), `what is in flight is a number: ${inFlightUsd}`);
  return Math.max(0, (Number(limitNanos) * (1 - BUFFER) - Number(spentNanos)) / 1e9 - inFlightUsd);
}

/** Clipped as a whole, after the tick's costs are summed: clipped one by one, one dear request would count as two cheap ones. */
function errorOf(spentUsd: number, aimedUsd: number): number {
  const ratio = Math.max(EPSILON_USD, spentUsd) / Math.max(EPSILON_USD, aimedUsd);
  return Math.min(GREATEST_ERROR, Math.max(-GREATEST_ERROR, Math.log(ratio)));
}

function published(
  before: ShadowPrice,
  next: ShadowPrice,
  reason: PriceChange['reason'],
  numbers: Pick<PriceChange, 'spentUsdPerRequest' | 'affordableUsdPerRequest' | 'level' | 'remainingUsd'>,
  atOnce: boolean,
): Tick {
  const from = before.published;
  const to = next.lambda;
  const apart = Math.abs(Math.log((1 + to) / (1 + from))) >= Math.log(PUBLISHED_FACTOR);
  if (to === from || !(atOnce || apart)) return { price: next, change: null };
  return {
    price: { ...next, published: to },
    change: { direction: to > from ? 'tightened' : 'relaxed', reason, from, to, ...numbers },
  };
}
