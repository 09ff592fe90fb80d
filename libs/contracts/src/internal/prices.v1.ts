import { z } from 'zod';
import { PriceConfig } from '../config/prices-config.js';
import { Instant, NanosText, PriceVersion, Slug } from '../primitives.js';

const By = z.string().min(1).max(128);

/** `metering.prices.v1`: an operator looks into the price book, or changes it. */
export const PricesRequest = z.discriminatedUnion('verb', [
  z.object({ verb: z.literal('list'), backend: Slug.optional(), held: z.boolean().optional() }),
  /** A held price is right: it acts from the instant it says. */
  z.object({ verb: z.literal('confirm'), id: Slug, by: By }),
  z.object({ verb: z.literal('reject'), id: Slug, by: By }),
  /** Prices beside those of the configuration, also for the past: what was rated since is adjusted. */
  z.object({
    verb: z.literal('propose'),
    backend: Slug,
    prices: z.array(PriceConfig).min(1).max(100),
    by: By,
    /** Nothing is taken in: the answer says what would be, and what the last hour would have cost. */
    dryRun: z.boolean().optional(),
  }),
  /** A catalogue in the format of the package, in place of the one that came with it. */
  z.object({ verb: z.literal('import'), catalogue: z.string().max(7_000_000), name: z.string().max(128), by: By }),
]);
export type PricesRequest = z.infer<typeof PricesRequest>;

export const PriceBookRow = z.object({
  version: PriceVersion,
  status: z.enum(['accepted', 'held', 'rejected']),
  withdrawn: z.boolean(),
  inForce: z.boolean(),
  origin: z.string(),
  reasons: z.array(z.object({ code: z.string(), rate: z.string().optional(), message: z.string() })),
  decidedBy: z.string().nullable(),
  recordedAt: Instant,
  correction: z.object({ adjusted: z.int(), differenceNanos: NanosText }).optional(),
});
export type PriceBookRow = z.infer<typeof PriceBookRow>;

/** What the confirmed attempts of a backend cost, and what they would have cost at another price. */
export const TriedPrice = z.object({
  priceVersion: Slug,
  since: Instant,
  attempts: z.int(),
  /** Whether these are all since then; else the latest of them. */
  complete: z.boolean(),
  cashNanos: NanosText,
  fullNanos: NanosText,
  triedCashNanos: NanosText,
  triedFullNanos: NanosText,
});
export type TriedPrice = z.infer<typeof TriedPrice>;

export const PricesReply = z.union([
  z.object({
    rows: z.array(PriceBookRow),
    notes: z.array(z.string()).default([]),
    tried: TriedPrice.optional(),
  }),
  z.object({ error: z.object({ message: z.string() }) }),
]);
export type PricesReply = z.infer<typeof PricesReply>;
