import { z } from 'zod';
import { Instant, Slug } from '../primitives.js';

/**
 * Answers of a model have another quality for an org than they had, over all its requests: its provider changed the model, or the
 * org its use of it. What was known of it counts little from now on, so it is explored again.
 */
export const QualityModelShiftedV1 = z.object({
  org: Slug,
  provider: z.string().min(1).max(256),
  model: z.string().min(1).max(256),
  /** All that serve it: what is known of a model counts for each. */
  backends: z.array(Slug).min(1).max(1_000),
  metric: z.enum(['quality']),
  direction: z.enum(['better', 'worse']),
  /** Means over the same outcomes, 0..1: what was expected of them, and what they were. */
  before: z.number().min(0).max(1),
  after: z.number().min(0).max(1),
  /** A cumulative sum of surprises (Page 1954), in standard deviations of an outcome, that reached the threshold. */
  evidence: z.object({
    outcomes: z.int().min(1),
    deviations: z.number().min(0),
    threshold: z.number().gt(0),
  }),
  /** When the first and the last of these outcomes were reported; the change is likeliest at the first. */
  since: Instant,
  noticedAt: Instant,
  /** One sentence for people. */
  reason: z.string().max(1_000),
});
export type QualityModelShiftedV1 = z.infer<typeof QualityModelShiftedV1>;
