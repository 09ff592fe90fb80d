import { z } from 'zod';
import { Attribution, Instant, NanosText, Slug } from '../primitives.js';
import { OUTCOME_KINDS } from '../requests/outcome-report.v1.js';

/** An outcome that is on record, with what was decided for its request: what learning needs. Once per outcome. */
export const OutcomeRecordedV1 = z.object({
  outcomeId: z.string().min(1).max(128),
  requestId: Slug,
  /** Of the attempt that answered. */
  attemptId: Slug.optional(),
  attribution: Attribution,
  backend: Slug,
  kind: z.enum(OUTCOME_KINDS),
  /** 0..1, and how much it says, above 0 to 1; absent: it says nothing of quality. */
  quality: z.object({ value: z.number().min(0).max(1), weight: z.number().gt(0).max(1) }).optional(),
  /** Whether it is a conversion, or takes one back. */
  converted: z.boolean().optional(),
  /** Of such a one: whether the request had converted by what was reported of it before. */
  wasConverted: z.boolean().optional(),
  /** What it brought; negative: paid back. */
  revenueNanos: NanosText.optional(),
  /** As in the decision. */
  tags: z.array(z.string().max(512)).max(4),
  promptFeatures: z.string().max(8_192).optional(),
  decidedAt: Instant,
  /** When it came in. */
  reportedAt: Instant,
  /** When it happened, by the report; how late a conversion came. */
  occurredAt: Instant.optional(),
});
export type OutcomeRecordedV1 = z.infer<typeof OutcomeRecordedV1>;
