import type { Basis } from '@meritorder/contracts';
import { invariant, type Nanos } from '@meritorder/kernel';
import { demandLevel } from './demand.js';
import type { ExpectedCost } from './path-price.js';
import type { ShadowPrice } from './shadow-price.js';

/** What is known of a budget's window, as of the last reservation. */
export interface RoomReading {
  limitNanos: Nanos;
  /** Settled and unconfirmed. */
  spentNanos: Nanos;
  /** Upper bounds of the attempts in flight. */
  reservedNanos: Nanos;
  /** Requests that are forecast from now until the window ends. */
  forecastRequestsToEnd: number;
  /** Mean E[cost] in the budget's basis of the candidate of a request that is the cheapest in it, USD. */
  cheapestUsdPerRequest: number;
}

/** What a candidate is expected to cost, USD. */
type CostByBasis = Pick<ExpectedCost, 'cashUsd' | 'fullUsd'>;

/**
 * The largest upper bound, nano-USD, that an attempt other than a request's cheapest may hold: what is left when everything
 * still to come is answered by its cheapest candidate, both in the basis of the budget. Prices see expected costs only; near the end of a window, or of a small
 * budget, one bound can hold all that is left, and every request is refused until it settles. Candidates beyond the room of any
 * budget on their path rank behind the others.
 *
 * @throws InvariantError when a reading is not a number.
 */
export function spareRoomNanos(price: ShadowPrice, reading: RoomReading): Nanos {
  const kept = demandLevel(price.demand) * reading.forecastRequestsToEnd * reading.cheapestUsdPerRequest * 1e9;
  invariant(Number.isFinite(kept) && kept >= 0, `what is kept for the cheapest is a number: ${kept}`);
  const spare = reading.limitNanos - reading.spentNanos - reading.reservedNanos - BigInt(Math.ceil(kept));
  return spare > 0n ? spare : 0n;
}

/** The least that a candidate of one request is expected to cost in each basis, USD; of none: Infinity. */
export function leastUsd(candidates: readonly CostByBasis[]): Readonly<Record<Basis, number>> {
  const least = { cash: Infinity, full: Infinity };
  for (const { cashUsd, fullUsd } of candidates) {
    if (cashUsd < least.cash) least.cash = cashUsd;
    if (fullUsd < least.full) least.full = fullUsd;
  }
  return least;
}

/**
 * Whether a candidate stands behind the others: its bound is more than a budget can spare, and in the basis of that budget
 * another one is cheaper. For whoever costs the least the rest is kept; own hardware is often that of cash and not of full cost.
 *
 * @param least of the candidates of the request
 * @param exceeds whether its bound is more than a budget of a basis, to which it is charged, can spare
 */
export function isBeyondRoom(
  { cashUsd, fullUsd }: CostByBasis,
  least: Readonly<Record<Basis, number>>,
  exceeds: (basis: Basis) => boolean,
): boolean {
  return (cashUsd > least.cash && exceeds('cash')) || (fullUsd > least.full && exceeds('full'));
}
