import type { PriceVersion, UsageAttemptClosedV1, UsageAttemptOpenedV1 } from '@meritorder/contracts';
import type { Booking, Settlement } from '@meritorder/ledger-store';
import { MAX_COUNTER_NANOS } from '@meritorder/kernel';
import { chargeOf } from './charge-of.js';

/** Each verb may throw CannotBeBooked; then nothing of its batch was written. */
export interface Books {
  recordOpened(events: readonly UsageAttemptOpenedV1[]): Promise<void>;
  book(bookings: readonly Booking[]): Promise<Settlement[]>;
  priceVersion(id: string): Promise<PriceVersion | undefined>;
}

export interface ClosedAttempt {
  event: UsageAttemptClosedV1;
  traceparent: string | undefined;
}

/** The price version an attempt was reserved at is not in the books: it must not be rated by another. */
export class UnknownPriceVersion extends Error {
  override readonly name = 'UnknownPriceVersion';
}

/** The books cannot hold this fact, now or later: alone it goes to the dead letters, and its attempt is charged at its bound. */
export class CannotBeBooked extends Error {
  override readonly name = 'CannotBeBooked';
}

/** Books a batch of closed attempts; the answer is what the holds must be told. @throws UnknownPriceVersion, CannotBeBooked */
export async function bookUsage(books: Books, closed: readonly ClosedAttempt[]): Promise<Settlement[]> {
  const bookings: Booking[] = [];
  for (const { event, traceparent } of closed) {
    const price = await books.priceVersion(event.priceVersion);
    if (!price)
      throw new UnknownPriceVersion(
        `the price version ${event.priceVersion} of attempt ${event.attemptId} is not in the books`,
      );
    const charge = chargeOf(event, price);
    // A counter would no longer be exact, which closes its budget for good.
    if (charge.cashNanos > MAX_COUNTER_NANOS || charge.fullNanos > MAX_COUNTER_NANOS)
      throw new CannotBeBooked(`a charge of ${charge.fullNanos} nano-USD is beyond what a counter can hold`);
    bookings.push({
      terms: event,
      worker: event.worker,
      charge,
      cause: 'closed',
      outcome: event.outcome,
      usage: event.usage,
      providerCallId: event.providerCallId,
      occurredAt: event.closedAt,
      traceparent,
    });
  }
  return books.book(bookings);
}
