import { z } from 'zod';
import { Attribution, Instant, Kind, NanosText, Slug } from '../primitives.js';

/** All candidates with their numbers, the choice and why: enough to make the same decision again. */
export const RoutingDecisionMadeV1 = z.object({
  requestId: Slug,
  attemptId: Slug.optional(),
  attemptNumber: z.int().min(1),
  attribution: Attribution,
  kind: Kind,
  route: Slug,
  objective: z.enum(['cheapest']),
  decidedAt: Instant,
  epoch: z.int().nonnegative(),
  inputTokensExpected: z.number(),
  inputTokensBound: z.number(),
  outputTokensExpected: z.number(),
  maxTokens: z.int().nullable(),
  candidates: z.array(
    z.object({
      backend: Slug,
      priceVersion: Slug.nullable(),
      /** Estimates for the score; may be fractional dollars. */
      expectedCashUsd: z.number().nullable(),
      expectedFullUsd: z.number().nullable(),
      inputTokensExpected: z.number().optional(),
      cacheReadTokensExpected: z.number().optional(),
      outputTokensExpected: z.number().optional(),
      boundCashNanos: NanosText.nullable(),
      boundFullNanos: NanosText.nullable(),
      excluded: z.string().nullable(),
    }),
  ),
  choice: Slug.nullable(),
  probability: z.number().min(0).max(1),
  refusal: z.string().nullable(),
  reason: z.string(),
});
export type RoutingDecisionMadeV1 = z.infer<typeof RoutingDecisionMadeV1>;
