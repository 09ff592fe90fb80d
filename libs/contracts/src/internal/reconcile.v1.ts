import { z } from 'zod';
import { Instant, NanosText, Slug } from '../primitives.js';

/** `metering.reconcile.v1`: lines of a provider's invoice, or its end. */
export const ReconcileRequest = z.object({
  provider: Slug,
  invoiceId: z.string().min(1).max(128),
  lines: z
    .array(
      z.object({
        callId: z.string().max(256),
        clientRequestId: z.string().max(256).nullable(),
        nanoUsd: NanosText,
        startedAt: Instant,
      }),
    )
    .max(5000),
  /**
   * Sent with the last part: the invoice is complete from `from` to `to`. Unconfirmed attempts of this provider that were
   * opened in between and have no line were not charged for.
   */
  complete: z.object({ from: Instant, to: Instant }).optional(),
});
export type ReconcileRequest = z.infer<typeof ReconcileRequest>;

export const ReconcileReport = z.object({
  linesMatched: z.int(),
  confirmedByInvoice: z.int(),
  releasedWithoutLine: z.int(),
  /** Lines above the bound of their attempt: booked as billed, and named. */
  aboveBound: z.array(z.object({ attemptId: Slug, boundNanos: NanosText, invoiceNanos: NanosText })),
  /** Confirmed attempts that the invoice sees otherwise. */
  differences: z.array(z.object({ attemptId: Slug, ledgerNanos: NanosText, invoiceNanos: NanosText })),
  confirmedDifferenceNanos: NanosText,
  /** Lines of calls that the books do not know. */
  unmatchedLines: z.array(z.object({ callId: z.string(), clientRequestId: z.string().nullable(), nanoUsd: NanosText })),
  /** With `complete` only: what the ledger holds for this provider in the period, and what the invoice adds up to. */
  totals: z.object({ ledgerNanos: NanosText, invoiceNanos: NanosText, unconfirmed: z.int() }).optional(),
});
export type ReconcileReport = z.infer<typeof ReconcileReport>;
