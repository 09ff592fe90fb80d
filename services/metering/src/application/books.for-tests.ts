import type { AttemptTerms, PriceVersion, UsageAttemptClosedV1 } from '@meritorder/contracts';
import { EXAMPLES } from '@meritorder/contracts';
import { entriesFor, mayFollow, type Charge, type Entry } from '@meritorder/ledger-core';
import type { Booking, RatedAttempt, Settlement } from '@meritorder/ledger-store';
import type { Books } from './book-usage.js';
import type { PricedBackend } from './charge-of.js';
import type { CorrectionBooks } from './correct-prices.js';

interface BookedAttempt {
  charge: Charge;
  booking: Booking;
  priceVersion: string;
}

export interface DatedEntry extends Entry {
  attemptId: string;
  cause: string;
  /** When it came into the books: what periods go by. */
  recordedAt: string;
}

/** The books in memory, by the same rules: one charge an attempt, nothing ever changed, corrections as entries of the difference. */
export class BooksInMemory implements Books, CorrectionBooks {
  readonly entries: DatedEntry[] = [];
  readonly attempts = new Map<string, BookedAttempt>();
  readonly notes: [priceVersion: string, adjusted: number, differenceNanos: bigint][] = [];
  backends: Record<string, PricedBackend> = {};
  now = '2026-02-15T12:00:00.000Z';

  /** @param versions the book of prices, oldest first. */
  constructor(readonly versions: PriceVersion[] = []) {}

  async recordOpened(): Promise<void> {}
  async recordExtended(): Promise<void> {}

  async book(bookings: readonly Booking[]): Promise<Settlement[]> {
    return bookings.map((booking) => {
      const { terms, charge, correction } = booking;
      const known = this.attempts.get(terms.attemptId);
      if (known ? !mayFollow(known.charge.state, charge.state, correction) : correction)
        return { attemptId: terms.attemptId, charge: known!.charge, before: known?.charge, changed: false };
      for (const entry of entriesFor(terms, known?.charge, charge, correction))
        this.entries.push({ ...entry, attemptId: terms.attemptId, cause: booking.cause, recordedAt: this.now });
      this.attempts.set(terms.attemptId, {
        charge,
        booking: { ...known?.booking, ...booking, closedAt: booking.closedAt ?? known?.booking.closedAt },
        priceVersion: booking.priceVersion ?? terms.priceVersion,
      });
      return { attemptId: terms.attemptId, charge, before: known?.charge, changed: true, bound: terms.bound };
    });
  }

  async priceVersion(id: string): Promise<PriceVersion | undefined> {
    return this.versions.find((v) => v.id === id);
  }

  backend(id: string): PricedBackend | undefined {
    return this.backends[id];
  }

  async published(backend: string): Promise<readonly PriceVersion[]> {
    return this.versions.filter((v) => v.backend === backend);
  }

  async ratedOtherwise(
    of: Parameters<CorrectionBooks['ratedOtherwise']>[0],
    limit: number,
    after: string,
  ): Promise<RatedAttempt[]> {
    const series = this.versions.filter((v) => v.backend === of.backend && v.model === of.model).map((v) => v.id);
    return [...this.attempts.values()]
      .filter(
        ({ charge, booking: { terms, usage, unpriced = [] }, priceVersion }) =>
          terms.backend === of.backend &&
          (charge.state === 'confirmed' || (charge.state === 'unconfirmed' && unpriced.length > 0)) &&
          terms.attemptId > after &&
          usage !== undefined &&
          series.includes(priceVersion) &&
          priceVersion !== of.priceVersion &&
          new Date(terms.reservedAt) >= of.from &&
          (of.to === undefined || new Date(terms.reservedAt) < of.to),
      )
      .toSorted((a, b) => (a.booking.terms.attemptId < b.booking.terms.attemptId ? -1 : 1))
      .slice(0, limit)
      .map(({ charge, booking, priceVersion }) => ({
        state: charge.state === 'unconfirmed' ? 'unconfirmed' : 'confirmed',
        terms: booking.terms,
        worker: booking.worker,
        outcome: booking.outcome,
        usage: booking.usage!,
        usageBasis: booking.usageBasis ?? null,
        servedModel: booking.servedModel ?? null,
        servedTier: booking.servedTier ?? null,
        reservedAt: new Date(booking.terms.reservedAt),
        closedAt: booking.closedAt ? new Date(booking.closedAt) : null,
        priceVersion,
      }));
  }

  async noteCorrection(priceVersion: string, adjusted: number, differenceNanos: bigint): Promise<void> {
    this.notes.push([priceVersion, adjusted, differenceNanos]);
  }

  /** What expenses came to from entries that were recorded in a month ("2026-01"). */
  totalOf(month: string): bigint {
    return this.entries
      .filter((e) => e.recordedAt.startsWith(month))
      .reduce((sum, e) => sum + (e.debitAccount.startsWith('expense:') ? e.amountNanos : -e.amountNanos), 0n);
  }
}

const closed = EXAMPLES.events['usage.attempt-closed.v1'] as UsageAttemptClosedV1;

/** A closed attempt of 1,000 input and 7 output tokens on `gpt-4-1-mini`; the rest as said. */
export function closedAttempt(more: Partial<UsageAttemptClosedV1 & AttemptTerms> = {}): UsageAttemptClosedV1 {
  return { ...closed, ...more };
}

export function withoutUsage(attempt: UsageAttemptClosedV1): UsageAttemptClosedV1 {
  const { usage: _, ...rest } = attempt;
  return rest;
}
