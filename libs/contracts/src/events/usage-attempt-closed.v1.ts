import { z } from 'zod';
import { AttemptTerms } from '../internal/work.v1.js';
import { EngineTimings, Instant, ServiceTier, Slug, Usage, UsageBasis } from '../primitives.js';

/**
 * One per attempt, whatever happened; complete in itself, so that it can be booked when the opening was not seen yet.
 * - `sent: false`: nothing went upstream, so it cost nothing.
 * - `usage`: what the provider says it counted, or what was counted here (`usageBasis`): the charge is confirmed.
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
  /** Absent: `reported`. */
  usageBasis: UsageBasis.optional(),
  /** The tier that was served, where the backend says. */
  servedTier: ServiceTier.optional(),
  timings: EngineTimings.optional(),
  /** Calls in flight at this backend's worker when the call began, itself included. */
  concurrency: z.int().positive().optional(),
  /** The model that the backend says has answered. */
  servedModel: z.string().max(256).optional(),
  /** The backend's own id of the call, as its invoice names it. */
  providerCallId: z.string().max(256).optional(),
  code: z.string().max(64).optional(),
  /** False: the answer was to come whole, and `firstTokenMs` is when it did. Absent: not known. */
  streamed: z.boolean().optional(),
  /** Of a stream: how many had gone to the caller when it ended. */
  chunks: z.int().nonnegative().optional(),
  firstTokenMs: z.number().nonnegative().optional(),
  durationMs: z.number().nonnegative(),
});
export type UsageAttemptClosedV1 = z.infer<typeof UsageAttemptClosedV1>;

/** Of an attempt that did not go: it cost nothing. @param worker whoever closes it */
export function closedUnsent(
  { terms }: { terms: AttemptTerms },
  worker: string,
  nowMs: number,
  code: string,
): UsageAttemptClosedV1 {
  return {
    ...terms,
    worker,
    closedAt: new Date(nowMs).toISOString(),
    outcome: 'not-sent',
    sent: false,
    refusedUpstream: false,
    code,
    streamed: false,
    durationMs: 0,
  };
}
