import { z } from 'zod';
import { AttemptTerms } from '../internal/work.v1.js';
import { Instant, Slug, Usage } from '../primitives.js';

/**
 * One per attempt, whatever happened; complete in itself, so that it can be booked when the opening was not seen yet.
 * - `sent: false`: nothing went upstream, so it cost nothing.
 * - `usage`: what the provider says it counted: the charge is confirmed.
 * - neither: the provider may charge anything up to the bound: the charge is unconfirmed.
 */
export const UsageAttemptClosedV1 = z.object({
  ...AttemptTerms.shape,
  worker: Slug,
  closedAt: Instant,
  outcome: z.enum(['finished', 'failed', 'cancelled', 'not-sent']),
  sent: z.boolean(),
  /** True when the backend answered that it refused the call before doing anything (4xx, 5xx without a body of tokens). */
  refusedUpstream: z.boolean(),
  usage: Usage.optional(),
  /** The model that the backend says has answered. */
  servedModel: z.string().max(256).optional(),
  /** The backend's own id of the call, as its invoice names it. */
  providerCallId: z.string().max(256).optional(),
  code: z.string().max(64).optional(),
  firstTokenMs: z.number().nonnegative().optional(),
  durationMs: z.number().nonnegative(),
});
export type UsageAttemptClosedV1 = z.infer<typeof UsageAttemptClosedV1>;
