import { z } from 'zod';
import { Amounts, Attribution, Instant, Kind, Slug, Usage, WindowCharge } from '../primitives.js';

/** An attempt as booked; a correction is another event with the same attempt and a higher revision. */
export const MeteringUsageRatedV1 = z.object({
  attemptId: Slug,
  requestId: Slug,
  revision: z.int().min(1),
  state: z.enum(['confirmed', 'unconfirmed', 'free']),
  cause: z.enum(['closed', 'timed-out', 'invoice', 'late-usage']),
  attribution: Attribution,
  backend: Slug,
  provider: Slug,
  model: z.string(),
  kind: Kind,
  usage: Usage.optional(),
  priceVersion: Slug,
  /** The amount in force now; what changed against the revision before is `change`. */
  cost: Amounts,
  change: Amounts,
  bound: Amounts,
  windows: z.array(WindowCharge),
  occurredAt: Instant,
  recordedAt: Instant,
});
export type MeteringUsageRatedV1 = z.infer<typeof MeteringUsageRatedV1>;
