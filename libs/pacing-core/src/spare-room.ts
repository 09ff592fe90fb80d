import { invariant, type Nanos } from '@meritorder/kernel';
import { demandLevel } from './demand.js';
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
  /** Mean E[cost] of the cheapest candidate of a request that matches the budget, USD. */
  cheapestUsdPerRequest: number;
}

/**
 * The largest upper bound, nano-USD, that an attempt other than a request's cheapest may hold: what is left when everything
 * still to come is answered by its cheapest candidate. Prices see expected costs only; near the end of a window, or of a small
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
