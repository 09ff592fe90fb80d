import { z } from 'zod';
import { Instant, NanosText, Slug } from '../primitives.js';

/** `metering.margin.v1`: an operator asks what requests brought and cost, and whether dearer answers would pay. */
export const MarginRequest = z.object({
  /** Default: all. */
  org: Slug.optional(),
  /** Until now, counted by the time of the reservation. */
  days: z.int().min(1).max(366).default(30),
});
export type MarginRequest = z.infer<typeof MarginRequest>;

const Money = z.object({
  /** Attempts that cost something or may have; `requests` of them answered. */
  attempts: z.int().nonnegative(),
  requests: z.int().nonnegative(),
  cashNanos: NanosText,
  fullNanos: NanosText,
  /** The part of the full cost that is not confirmed, at its bound. */
  unconfirmedNanos: NanosText,
  /** Null: no request was of a tier with a charge. */
  chargedNanos: NanosText.nullable(),
  /** What outcomes were reported to have brought, net of refunds; null: no outcome said. */
  revenueNanos: NanosText.nullable(),
  /** Charged and revenue less full cost; null: nothing says what these requests bring. */
  marginNanos: NanosText.nullable(),
});
export type MarginMoney = z.infer<typeof Money>;

/** How often answers convert; requests too young to have converted count in part, recent ones more than old ones. */
export const ConversionRate = z.object({
  /** Requests that converted, as counted. */
  converted: z.int().nonnegative(),
  rate: z.number().min(0).max(1),
  /** Of 95 %. */
  low: z.number().min(0).max(1),
  high: z.number().min(0).max(1),
  /** Whether its own requests say enough; false: the rate rests mostly on others. */
  enough: z.boolean(),
});
export type ConversionRate = z.infer<typeof ConversionRate>;

const Segment = { org: Slug, tier: z.string().nullable(), feature: z.string().nullable() };

/** A segment at one backend. */
export const MarginRow = z.object({
  ...Segment,
  backend: Slug,
  ...Money.shape,
  /** Null: no conversion was reported of the org. */
  conversion: ConversionRate.nullable(),
});
export type MarginRow = z.infer<typeof MarginRow>;

/** Whether another backend would pay for a segment: R dP > d((1 + sum of lambda) C). USD a request. */
export const UpgradeRow = z.object({
  from: Slug,
  to: Slug,
  verdict: z.enum(['upgrade', 'stay', 'not-enough-data']),
  gainUsd: z.number(),
  extraUsd: z.number(),
  /** Of the budgets that pay for `to`. */
  shadowPrice: z.number().min(0),
  /** Of those that pay for `from`; absent: the same. */
  fromShadowPrice: z.number().min(0).optional(),
  requests: z.number().nonnegative(),
  /** Null: no number of requests could tell. */
  requestsNeeded: z.number().nonnegative().nullable(),
  sentence: z.string(),
});
export type UpgradeRow = z.infer<typeof UpgradeRow>;

export const MarginSegment = z.object({
  ...Segment,
  requests: z.int().nonnegative(),
  /** What a conversion brings; `reported`: the mean of what was reported; `configured`: as the router took it. */
  revenueUsd: z.number().nonnegative(),
  revenueFrom: z.enum(['reported', 'configured']),
  /** The dearer ones first. */
  upgrades: z.array(UpgradeRow),
});
export type MarginSegment = z.infer<typeof MarginSegment>;

export const MarginCustomer = z.object({ org: Slug, customer: z.string(), ...Money.shape });
export type MarginCustomer = z.infer<typeof MarginCustomer>;

export const MarginReply = z.union([
  z.object({
    from: Instant,
    to: Instant,
    /** Those that lose money first, then by full cost; at most 500. */
    rows: z.array(MarginRow),
    /** In the same order, at most 100. */
    customers: z.array(MarginCustomer),
    /** Segments for which something is known of conversions, those with most requests first; at most 100. */
    segments: z.array(MarginSegment),
    /** All requests, also those of rows that are not shown. */
    total: Money,
    leftOff: z.object({
      rows: z.int().nonnegative(),
      customers: z.int().nonnegative(),
      segments: z.int().nonnegative(),
    }),
  }),
  z.object({ error: z.object({ code: z.string(), message: z.string() }) }),
]);
export type MarginReply = z.infer<typeof MarginReply>;
