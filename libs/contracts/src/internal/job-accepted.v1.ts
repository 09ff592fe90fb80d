import { z } from 'zod';
import { Attribution, Instant, Kind, Slug } from '../primitives.js';

/** A job that a router has checked and kept. */
export const JobAcceptedV1 = z.object({
  requestId: Slug,
  org: Slug,
  kind: Kind,
  attribution: Attribution,
  /** What its key may use; absent: whatever its org may. */
  routes: z.array(Slug).optional(),
  body: z.record(z.string(), z.unknown()),
  acceptedAt: Instant,
  /** What its customer is charged for once, however often it is run; absent: of an earlier version. */
  claim: z.string().max(80).optional(),
  /** It was in a batch, and is sent to no other: with what it was answered there, or cancelled, or else to be run again. */
  afterBatch: z
    .object({ answer: z.record(z.string(), z.unknown()).optional(), cancelled: z.literal(true).optional() })
    .optional(),
});
export type JobAcceptedV1 = z.infer<typeof JobAcceptedV1>;
