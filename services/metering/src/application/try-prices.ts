import type { PriceVersion, TriedPrice } from '@meritorder/contracts';
import type { ChargedAttempt } from '@meritorder/ledger-store';
import type { Intake } from '@meritorder/pricing-core';
import { confirmedCharge, type PricedBackend } from './charge-of.js';

/** What is looked at: long enough for a busy backend to show what a slip costs, short enough to answer at once. */
export const TRIED_MS = 3_600_000;
export const TRIED_ATTEMPTS_MOST = 10_000;

export interface TryPriceBooks {
  /** At most `limit`, the latest first. */
  chargedSince(backend: string, since: Date, limit: number): Promise<readonly ChargedAttempt[]>;
}

/**
 * What the last hour's attempts of a backend would have cost at a proposed price, against what they cost: by the code that would
 * rate them (pitfall 40). Nothing is changed.
 */
export async function tryPrice(
  books: TryPriceBooks,
  price: PriceVersion,
  backend: PricedBackend,
  nowMs: number,
): Promise<TriedPrice> {
  const since = new Date(nowMs - TRIED_MS);
  const attempts = await books.chargedSince(price.backend, since, TRIED_ATTEMPTS_MOST);
  const sums = { cash: 0n, full: 0n, triedCash: 0n, triedFull: 0n };
  for (const attempt of attempts) {
    const { charge } = confirmedCharge(
      {
        servedModel: attempt.servedModel ?? undefined,
        servedTier: attempt.servedTier ?? undefined,
        closedAt: new Date(attempt.closedAt ?? attempt.reservedAt).toISOString(),
      },
      attempt.usage,
      { own: price, others: [] },
      backend,
    );
    sums.cash += BigInt(attempt.cashNanos);
    sums.full += BigInt(attempt.fullNanos);
    sums.triedCash += charge.cashNanos;
    sums.triedFull += charge.fullNanos;
  }
  return {
    priceVersion: price.id,
    since: since.toISOString(),
    attempts: attempts.length,
    complete: attempts.length < TRIED_ATTEMPTS_MOST,
    cashNanos: sums.cash.toString(),
    fullNanos: sums.full.toString(),
    triedCashNanos: sums.triedCash.toString(),
    triedFullNanos: sums.triedFull.toString(),
  };
}

/** Of what would be taken in, the price of the backend's own model that would act now, or else the first to come. */
export function priceToTry(intake: Intake, nowMs: number): PriceVersion | undefined {
  const own = intake.insert
    .map(({ entry }) => entry.version)
    .filter((version) => version.model === undefined)
    .toSorted((a, b) => Date.parse(a.effectiveFrom) - Date.parse(b.effectiveFrom));
  return own.findLast((version) => Date.parse(version.effectiveFrom) <= nowMs) ?? own[0];
}
