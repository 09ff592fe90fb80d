import type {
  AttemptTerms,
  PriceVersion,
  UsageAttemptClosedV1,
  UsageAttemptExtendedV1,
  UsageAttemptOpenedV1,
} from '@meritorder/contracts';
import type { Booking, Settlement } from '@meritorder/ledger-store';
import { MAX_COUNTER_NANOS } from '@meritorder/kernel';
import { isAnswer } from '@meritorder/margin-core';
import { chargeOf, type AttemptPrices, type PricedBackend } from './charge-of.js';

/** Each verb may throw CannotBeBooked; then nothing of its batch was written. */
export interface Books {
  recordOpened(events: readonly UsageAttemptOpenedV1[]): Promise<void>;
  recordExtended(events: readonly UsageAttemptExtendedV1[]): Promise<void>;
  book(bookings: readonly Booking[]): Promise<Settlement[]>;
  priceVersion(id: string): Promise<PriceVersion | undefined>;
  backend(id: string): PricedBackend | undefined;
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

/** What was booked; and for people to look at, what of it had no rate, and what cost more than was held for it. */
export interface BookedUsage {
  settlements: Settlement[];
  unpriced: { attemptId: string; backend: string; what: string[] }[];
  aboveBound: { attemptId: string; backend: string; cashNanos: bigint; boundNanos: bigint }[];
}

/** Books a batch of closed attempts; the answer is what the holds must be told. @throws UnknownPriceVersion, CannotBeBooked */
export async function bookUsage(books: Books, closed: readonly ClosedAttempt[]): Promise<BookedUsage> {
  const bookings: Booking[] = [];
  for (const { event, traceparent } of closed) {
    const { charge, priceVersion, native, unpriced } = chargeOf(
      event,
      await pricesOf(books, event),
      backendOf(books, event),
    );
    // A counter would no longer be exact, which closes its budget for good.
    if (charge.cashNanos > MAX_COUNTER_NANOS || charge.fullNanos > MAX_COUNTER_NANOS)
      throw new CannotBeBooked(`a charge of ${charge.fullNanos} nano-USD is beyond what a counter can hold`);
    bookings.push({
      terms: event,
      worker: event.worker,
      charge,
      priceVersion,
      native,
      unpriced,
      cause: 'closed',
      outcome: event.outcome,
      code: event.code,
      answered: isAnswer(event),
      usage: event.usage,
      usageBasis: event.usage ? (event.usageBasis ?? 'reported') : undefined,
      servedModel: event.servedModel,
      servedTier: event.servedTier,
      timings: event.timings && { ...event.timings, concurrency: event.concurrency },
      closedAt: event.closedAt,
      providerCallId: event.providerCallId,
      occurredAt: event.closedAt,
      traceparent,
    });
  }
  const settlements = await books.book(bookings);
  const changed = new Set(settlements.filter((s) => s.changed).map((s) => s.attemptId));
  return {
    settlements,
    unpriced: bookings
      .filter((b) => b.unpriced && b.unpriced.length > 0 && changed.has(b.terms.attemptId))
      .map((b) => ({ attemptId: b.terms.attemptId, backend: b.terms.backend, what: [...b.unpriced!] })),
    aboveBound: aboveBound(settlements, bookings),
  };
}

/** Budgets could be overrun by these: a price, a bound or what a provider said of a charge is wrong. */
function aboveBound(settlements: readonly Settlement[], bookings: readonly Booking[]): BookedUsage['aboveBound'] {
  const backends = new Map(bookings.map((b) => [b.terms.attemptId, b.terms.backend]));
  return settlements.flatMap(({ attemptId, changed, charge: { cashNanos }, bound }) =>
    changed && bound && cashNanos > BigInt(bound.cashNanos)
      ? [{ attemptId, backend: backends.get(attemptId)!, cashNanos, boundNanos: BigInt(bound.cashNanos) }]
      : [],
  );
}

/** @throws UnknownPriceVersion */
export async function pricesOf(
  books: Pick<Books, 'priceVersion'>,
  terms: Pick<AttemptTerms, 'attemptId' | 'priceVersion' | 'otherPriceVersions'>,
): Promise<AttemptPrices> {
  const version = async (id: string): Promise<PriceVersion> => {
    const found = await books.priceVersion(id);
    if (found) return found;
    throw new UnknownPriceVersion(`the price version ${id} of attempt ${terms.attemptId} is not in the books`);
  };
  return {
    own: await version(terms.priceVersion),
    others: await Promise.all((terms.otherPriceVersions ?? []).map(version)),
  };
}

export function backendOf(
  books: Pick<Books, 'backend'>,
  terms: Pick<AttemptTerms, 'backend' | 'model'>,
): PricedBackend {
  return (
    books.backend(terms.backend) ?? { kind: 'cloud', model: terms.model, modelAliases: [], withoutUsage: undefined }
  );
}
