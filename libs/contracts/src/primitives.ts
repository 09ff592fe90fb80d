import { isSlug } from '@meritorder/kernel';
import { z } from 'zod';

/** `[a-z0-9-]{1,64}`: whatever becomes a subject token or a key part. */
export const Slug = z
  .string()
  .refine(isSlug, 'must be a slug: 1 to 64 of a-z, 0-9 and "-"')
  .meta({ pattern: '^[a-z0-9-]{1,64}$' });

/** Integer nano-USD as a decimal string (1 USD = 10^9). */
export const NanosText = z.string().regex(/^-?\d{1,19}$/, 'must be integer nano-USD as a decimal string');

/** Decimal USD, nano-exact, for people. */
export const UsdText = z.string().regex(/^-?\d{1,10}(\.\d{1,9})?$/, 'must be decimal USD such as "12.50"');

/** An instant, RFC 3339 in UTC. */
export const Instant = z.iso.datetime();

export const Basis = z.enum(['cash', 'full']);
export type Basis = z.infer<typeof Basis>;

export const Kind = z.enum(['chat', 'embeddings', 'messages']);
export type Kind = z.infer<typeof Kind>;

/** Who an amount belongs to. Only what a caller may be billed or budgeted by. */
export const ATTRIBUTION_KEYS = ['department', 'team', 'customer', 'feature', 'task', 'tier', 'user'] as const;
export type AttributionKey = (typeof ATTRIBUTION_KEYS)[number];

/** Without control characters and half surrogate pairs, which neither the books nor a screen can hold. */
export const AttributionValue = z
  .string()
  .min(1)
  .max(128)
  .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'has a control character or half of a surrogate pair');

export const Attribution = z.object({
  org: Slug,
  key: Slug.optional(),
  department: AttributionValue.optional(),
  team: AttributionValue.optional(),
  customer: AttributionValue.optional(),
  feature: AttributionValue.optional(),
  task: AttributionValue.optional(),
  tier: AttributionValue.optional(),
  user: AttributionValue.optional(),
});
export type Attribution = z.infer<typeof Attribution>;

/** Disjoint counts of one attempt; reasoning tokens are inside `output`. */
export const Usage = z.object({
  inputTokens: z.int().nonnegative(),
  cacheReadTokens: z.int().nonnegative(),
  cacheWrite5mTokens: z.int().nonnegative(),
  cacheWrite1hTokens: z.int().nonnegative(),
  outputTokens: z.int().nonnegative(),
  requests: z.int().nonnegative(),
});
export type Usage = z.infer<typeof Usage>;

/** Integer pico-USD per token (and per request), as decimal strings. */
const PicosText = z.string().regex(/^\d{1,18}$/, 'must be integer pico-USD as a decimal string');

export const Rates = z.object({
  inputPicosPerToken: PicosText,
  cacheReadPicosPerToken: PicosText,
  cacheWrite5mPicosPerToken: PicosText,
  cacheWrite1hPicosPerToken: PicosText,
  outputPicosPerToken: PicosText,
  requestPicos: PicosText,
});
export type Rates = z.infer<typeof Rates>;

/** One version of a backend's prices. Its id names exactly these rates, for ever. */
export const PriceVersion = z.object({
  id: Slug,
  backend: Slug,
  effectiveFrom: Instant,
  /** Paid to others. */
  cash: Rates,
  /** Including own hardware; equal to `cash` for a cloud backend. */
  full: Rates,
  source: z.string().max(500),
});
export type PriceVersion = z.infer<typeof PriceVersion>;

/** A budget window that a reservation was made in. */
export const WindowCharge = z.object({
  budget: Slug,
  /** `2026-11-24`, `2026-W48`, `2026-11` or `total`, in the budget's time zone. */
  window: z.string().min(1).max(32),
  basis: Basis,
});
export type WindowCharge = z.infer<typeof WindowCharge>;

export const Amounts = z.object({ cashNanos: NanosText, fullNanos: NanosText });
export type Amounts = z.infer<typeof Amounts>;

export function isSlugText(text: string): boolean {
  return isSlug(text);
}
