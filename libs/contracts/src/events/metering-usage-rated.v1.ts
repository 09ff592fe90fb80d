import { z } from 'zod';
import { AttemptExpectation } from '../internal/work.v1.js';
import {
  Amounts,
  Attribution,
  Instant,
  Kind,
  NanosText,
  ServiceTier,
  Slug,
  Usage,
  UsageBasis,
  WindowCharge,
} from '../primitives.js';

/** An attempt as booked; a correction is another event with the same attempt and a higher revision. */
export const MeteringUsageRatedV1 = z.object({
  attemptId: Slug,
  requestId: Slug,
  revision: z.int().min(1),
  state: z.enum(['confirmed', 'unconfirmed', 'free']),
  cause: z.enum(['closed', 'timed-out', 'invoice', 'late-usage', 'price-correction']),
  /** How the attempt ended: `finished`, `cancelled`, `failed`. */
  outcome: z.string().optional(),
  /** Why it ended so, where there is a reason; `hedge-lost`: the other attempt of its request answered, so its cost is waste. */
  code: z.string().max(64).optional(),
  /** It was a hedge, the second call of its request: of this attempt. */
  hedgeOf: Slug.optional(),
  attribution: Attribution,
  backend: Slug,
  provider: Slug,
  model: z.string(),
  kind: Kind,
  usage: Usage.optional(),
  usageBasis: UsageBasis.optional(),
  servedModel: z.string().optional(),
  servedTier: ServiceTier.optional(),
  priceVersion: Slug,
  /** The amount in force now; what changed against the revision before is `change`. */
  cost: Amounts,
  change: Amounts,
  /** What the customer is charged for it, in force now, and what of it changed against the revision before. Absent: the tier has no charge. */
  chargedNanos: NanosText.optional(),
  chargedChangeNanos: NanosText.optional(),
  /** What this attempt added to the cost of own hardware; for a cloud backend the cash. */
  marginalNanos: NanosText.optional(),
  /** The cash in the provider's own currency, in 10^-9 of its unit. */
  native: z.object({ currency: z.string(), nanos: NanosText, rateId: z.string() }).optional(),
  /** What was used and has no rate: priced without it, and to be looked at. */
  unpriced: z.array(z.string()).optional(),
  bound: Amounts,
  expected: AttemptExpectation.optional(),
  windows: z.array(WindowCharge),
  occurredAt: Instant,
  recordedAt: Instant,
});
export type MeteringUsageRatedV1 = z.infer<typeof MeteringUsageRatedV1>;
