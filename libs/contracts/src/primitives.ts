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

export const Kind = z.enum(['chat', 'embeddings', 'messages', 'responses']);
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

/** What some backends count, and may price, apart from plain text tokens. Each is disjoint from every other count. */
export const USAGE_UNITS = [
  'inputAudioTokens',
  'inputImageTokens',
  'inputVideoTokens',
  'cacheReadAudioTokens',
  'cacheReadImageTokens',
  'cacheReadVideoTokens',
  'outputAudioTokens',
  'outputImageTokens',
  'outputVideoTokens',
  'citationTokens',
  'webSearches',
  'fileSearches',
  'codeExecutions',
  'audioMilliseconds',
  'pages',
] as const;
export type UsageUnit = (typeof USAGE_UNITS)[number];

/** The tier a provider served, and bills. */
export const SERVICE_TIERS = ['standard', 'batch', 'flex', 'priority'] as const;
export const ServiceTier = z.enum(SERVICE_TIERS);
export type ServiceTier = z.infer<typeof ServiceTier>;

/**
 * Disjoint counts of one attempt. Tokens that a unit counts (audio, image) are in the unit and nowhere else; reasoning tokens are
 * inside `outputTokens`, and `reasoningTokens` says how many of them there are.
 */
export const Usage = z.object({
  inputTokens: z.int().nonnegative(),
  cacheReadTokens: z.int().nonnegative(),
  cacheWrite5mTokens: z.int().nonnegative(),
  cacheWrite1hTokens: z.int().nonnegative(),
  outputTokens: z.int().nonnegative(),
  requests: z.int().nonnegative(),
  reasoningTokens: z.int().nonnegative().optional(),
  units: z.partialRecord(z.enum(USAGE_UNITS), z.int().nonnegative()).optional(),
  /** What the provider said that it charged for it, of a backend that is booked by that (`statedCharge`): integer pico-USD. */
  statedPicos: z
    .string()
    .regex(/^\d{1,18}$/)
    .optional(),
});
export type Usage = z.infer<typeof Usage>;

/** Integer pico-units of the price version's currency, as a decimal string: per token, or per one of what is priced. */
const PicosText = z.string().regex(/^\d{1,18}$/, 'must be integer pico-USD as a decimal string');

/** A positive factor with at most twelve fraction digits. */
const FactorText = z.string().regex(/^\d{1,9}(\.\d{1,12})?$/, 'must be a decimal factor such as "0.93"');

/** What one token, request or unit costs. A unit without a rate of its own is priced as `rateOfUnit` of the pricing core says. */
export const Rates = z.object({
  inputPicosPerToken: PicosText,
  cacheReadPicosPerToken: PicosText,
  cacheWrite5mPicosPerToken: PicosText,
  cacheWrite1hPicosPerToken: PicosText,
  outputPicosPerToken: PicosText,
  requestPicos: PicosText,
  /** Where reasoning tokens have a price of their own; else they are output. */
  reasoningPicosPerToken: PicosText.optional(),
  /** Per unit; `audioMilliseconds` per hour of audio, so that the rate is an integer. */
  unitPicos: z.partialRecord(z.enum(USAGE_UNITS), PicosText).optional(),
});
export type Rates = z.infer<typeof Rates>;

/** Rates with cliffs: a request with more input tokens than a tier's threshold is priced by that tier as a whole. */
export const RateTable = Rates.extend({
  contextTiers: z
    .array(z.object({ overInputTokens: z.int().nonnegative(), rates: Rates }))
    .max(8)
    .optional(),
});
export type RateTable = z.infer<typeof RateTable>;

const TimeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day in UTC such as "16:30"');

/** All that one backend charges at one time: standard rates, and where they differ by time of day or by the tier served. */
export const RateCard = RateTable.extend({
  /** By the instant of completion, in UTC; `fromUtc` after `toUtc` is over midnight. The first that holds counts. */
  timeBands: z
    .array(z.object({ fromUtc: TimeOfDay, toUtc: TimeOfDay, rates: RateTable }))
    .max(24)
    .optional(),
  serviceTiers: z.partialRecord(z.enum(['batch', 'flex', 'priority']), RateTable).optional(),
  /** Names of rates that the source does not give: a usage that needs one is priced without it and said to be. */
  notPriced: z.array(z.string().max(64)).max(32).optional(),
});
export type RateCard = z.infer<typeof RateCard>;

/** One version of a backend's prices. Its id names exactly these rates, for ever. */
export const PriceVersion = z.object({
  id: Slug,
  backend: Slug,
  /** The model that answers at these prices; absent: the backend's own. */
  model: z.string().max(256).optional(),
  effectiveFrom: Instant,
  /** Paid to others. */
  cash: RateCard,
  /** Including own hardware; equal to `cash` for a cloud backend. */
  full: RateCard,
  /** What one more request adds; absent: the same as `cash`. */
  marginal: RateCard.optional(),
  /** Discount or markup of the account on everything paid to others. */
  accountFactor: FactorText.optional(),
  /** Where the rates are not in USD. */
  currency: z
    .object({ code: z.string().regex(/^[A-Z]{3}$/), usdPerUnit: FactorText, rateId: z.string().max(128) })
    .optional(),
  source: z.string().max(500),
  /** Where single rates come from, if not from `source`. */
  sources: z.record(z.string().max(64), z.string().max(500)).optional(),
});
export type PriceVersion = z.infer<typeof PriceVersion>;

/** A budget window that a reservation was made in. */
export const WindowCharge = z.object({
  budget: Slug,
  /** `2026-11-24`, `2026-W48`, `2026-11` or `total`, in the budget's time zone. */
  window: z.string().min(1).max(32),
  basis: Basis,
  /** Of a template's instance: the template, and the values that make the instance. `budget` is the instance's own id. */
  template: Slug.optional(),
  values: z.record(z.string().max(32), z.string().max(128)).optional(),
});
export type WindowCharge = z.infer<typeof WindowCharge>;

export const Amounts = z.object({ cashNanos: NanosText, fullNanos: NanosText });
export type Amounts = z.infer<typeof Amounts>;

/** `reported` by the backend, read off the engine's own counters, or `estimated` here because it said nothing. */
export const UsageBasis = z.enum(['reported', 'engine-timings', 'estimated']);
export type UsageBasis = z.infer<typeof UsageBasis>;

/** What an engine says of its own speed for one attempt. */
export const EngineTimings = z.object({
  prefillTokens: z.number().nonnegative(),
  prefillMs: z.number().nonnegative(),
  decodeTokens: z.number().nonnegative(),
  decodeMs: z.number().nonnegative(),
});
export type EngineTimings = z.infer<typeof EngineTimings>;

export function isSlugText(text: string): boolean {
  return isSlug(text);
}
