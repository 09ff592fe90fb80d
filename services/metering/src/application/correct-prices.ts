import type { PriceVersion } from '@meritorder/contracts';
import type { Booking, OpenCorrection, RatedAttempt, Settlement } from '@meritorder/ledger-store';
import { priceInForce } from '@meritorder/pricing-core';
import type { Books } from './book-usage.js';
import { backendOf } from './book-usage.js';
import { chargeAt, confirmedCharge, type RatedCharge } from './charge-of.js';

export interface CorrectionBooks extends Pick<Books, 'book' | 'backend'> {
  /** Versions of a backend that may be used, oldest first. */
  published(backend: string): Promise<readonly PriceVersion[]>;
  /** By their ids, after one of them. */
  ratedOtherwise(
    of: { backend: string; model: string | undefined; priceVersion: string; from: Date; to: Date | undefined },
    limit: number,
    after: string,
  ): Promise<RatedAttempt[]>;
  noteCorrection(priceVersion: string, adjusted: number, differenceNanos: bigint): Promise<void>;
}

const BATCH = 200;

/**
 * Re-rates what was rated by another price than the one that the book now has for its time, by entries of the difference in the
 * open period. What was booked stays as it was; running it again changes nothing. What was unconfirmed for want of a rate is
 * confirmed by a price that has it.
 * @returns how many attempts cost something else now.
 */
export async function correctPrices(books: CorrectionBooks, correction: OpenCorrection, now: string): Promise<number> {
  const series = (await books.published(correction.backend)).filter((v) => v.model === correction.model);
  let adjusted = 0;
  for (const span of spansOf(series, correction.since)) {
    for (let after = ''; ;) {
      const attempts = await books.ratedOtherwise(
        {
          backend: correction.backend,
          model: correction.model,
          priceVersion: span.price.id,
          from: span.from,
          to: span.to,
        },
        BATCH,
        after,
      );
      if (attempts.length === 0) break;
      after = attempts.at(-1)!.terms.attemptId;
      const settlements = await books.book(attempts.flatMap((attempt) => adjustment(books, attempt, span.price, now)));
      const moved = settlements.filter(costsOtherwise);
      if (moved.length > 0) await books.noteCorrection(correction.priceVersion, moved.length, differenceOf(moved));
      adjusted += moved.length;
    }
  }
  return adjusted;
}

/** Another version at the same rates takes the place of the first in the books, and no money moves. */
function costsOtherwise({ changed, before, charge }: Settlement): boolean {
  const isSame =
    charge.state === before?.state && charge.cashNanos === before.cashNanos && charge.fullNanos === before.fullNanos;
  return changed && !isSame;
}

function differenceOf(settlements: readonly Settlement[]): bigint {
  return settlements.reduce((sum, s) => sum + (s.charge.cashNanos - (s.before?.cashNanos ?? 0n)), 0n);
}

/** For each stretch of time since `since`, the version that the book has for it. */
function spansOf(
  series: readonly PriceVersion[],
  since: Date,
): { price: PriceVersion; from: Date; to: Date | undefined }[] {
  const starts = [
    since.getTime(),
    ...new Set(series.map((v) => Date.parse(v.effectiveFrom)).filter((ms) => ms > since.getTime())),
  ].sort((a, b) => a - b);
  return starts.flatMap((from, i) => {
    const price = priceInForce(series, from, series[0]?.model);
    const to = starts[i + 1];
    return price ? [{ price, from: new Date(from), to: to === undefined ? undefined : new Date(to) }] : [];
  });
}

/** None where it stays unconfirmed: this price does not have the rate either. */
function adjustment(books: CorrectionBooks, attempt: RatedAttempt, price: PriceVersion, now: string): Booking[] {
  const { charge, native, unpriced } = ratedAt(books, attempt, price);
  if (attempt.state === 'unconfirmed' && unpriced.length > 0) return [];
  const booking: Booking = {
    terms: attempt.terms,
    worker: attempt.worker,
    charge,
    priceVersion: price.id,
    native,
    unpriced,
    cause: 'price-correction',
    correction: attempt.state === 'confirmed',
    outcome: attempt.outcome,
    usage: attempt.usage,
    usageBasis: attempt.usageBasis ?? undefined,
    servedModel: attempt.servedModel ?? undefined,
    servedTier: attempt.servedTier ?? undefined,
    occurredAt: now,
  };
  return [booking];
}

function ratedAt(books: CorrectionBooks, attempt: RatedAttempt, price: PriceVersion): RatedCharge {
  const served = {
    servedModel: attempt.servedModel ?? undefined,
    servedTier: attempt.servedTier ?? undefined,
    closedAt: (attempt.closedAt ?? attempt.reservedAt).toISOString(),
  };
  // In the series of another model, that one has answered; in the own one, it may still be a model that nobody knows.
  return price.model === undefined
    ? confirmedCharge(served, attempt.usage, { own: price, others: [] }, backendOf(books, attempt.terms))
    : chargeAt(price, served, attempt.usage);
}
