import type { PriceVersion, UsageAttemptClosedV1, UsageAttemptOpenedV1 } from '@meritorder/contracts';
import type { Booking, Settlement } from '@meritorder/ledger-store';
import { chargeOf } from './charge-of.js';

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

/** Books a batch of closed attempts; the answer is what the holds must be told. @throws UnknownPriceVersion */
export async function bookUsage(books: Books, closed: readonly ClosedAttempt[]): Promise<Settlement[]> {
  const bookings: Booking[] = [];
  for (const { event, traceparent } of closed) {
    const price = await books.priceVersion(event.priceVersion);
    if (!price)
      throw new UnknownPriceVersion(
        `the price version ${event.priceVersion} of attempt ${event.attemptId} is not in the books`,
      );
    bookings.push({
      terms: event,
      worker: event.worker,
      charge: chargeOf(event, price),
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
