import { z } from 'zod';
import { Amounts, Attribution, Instant, Kind, PriceVersion, Slug, WindowCharge } from '../primitives.js';
import { Receipt } from '../receipt.js';

/** Everything money needs to know of an attempt: carried by the work message and by both usage events. */
export const AttemptTerms = z.object({
  attemptId: Slug,
  requestId: Slug,
  attemptNumber: z.int().min(1),
  attribution: Attribution,
  backend: Slug,
  provider: Slug,
  model: z.string(),
  kind: Kind,
  epoch: z.int().nonnegative(),
  /** The largest cost this attempt can have. */
  bound: Amounts,
  windows: z.array(WindowCharge).max(64),
  priceVersion: Slug,
  reservedAt: Instant,
  deadlineAt: Instant,
});
export type AttemptTerms = z.infer<typeof AttemptTerms>;

/** `work.v1.<backend>`: the router asks one worker to run one attempt. */
export const WorkRequest = z.object({
  terms: AttemptTerms,
  /** The request as it goes upstream, but for the model's name and options that the worker sets. */
  body: z.record(z.string(), z.unknown()),
  stream: z.boolean(),
  /** Whether the caller asked for `stream_options.include_usage`. */
  includeUsage: z.boolean(),
  /** The caller's inbox: the worker answers there. */
  replyTo: z.string(),
  price: PriceVersion,
  budgetsLeft: Receipt.shape.budgets_left,
  earlierAttempts: Receipt.shape.attempts,
  reason: z.string(),
});
export type WorkRequest = z.infer<typeof WorkRequest>;

/**
 * Worker to router, on the inbox of the work request.
 * `opened` is a request: the router marks the hold as opened and answers `go` or `stop`; only then bytes go upstream.
 * `failed` is a request too: the router answers `taken` when it goes on with the next candidate or answers the caller
 * itself; without that answer the worker ends the caller's wait with the error.
 */
export const WorkEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('refused'),
    code: z.enum(['busy', 'draining', 'unknown-backend', 'invalid', 'deadline', 'not-recorded']),
    message: z.string(),
  }),
  z.object({ type: z.literal('opened'), attemptId: Slug }),
  z.object({ type: z.literal('heartbeat'), attemptId: Slug, firstTokenSeen: z.boolean() }),
  z.object({
    type: z.literal('failed'),
    attemptId: Slug,
    /** Whether another backend may do better. */
    retryable: z.boolean(),
    code: z.enum([
      'connect',
      'timeout',
      'server-error',
      'quota',
      'caller-fault',
      'context-length',
      'cut',
      'protocol',
      'cancelled',
      'stopped',
    ]),
    message: z.string(),
    status: z.int().optional(),
    retryAfterSeconds: z.number().optional(),
  }),
  /** The caller has its answer, or its error after the first token. */
  z.object({ type: z.literal('finished'), attemptId: Slug, status: z.enum(['ok', 'error', 'cancelled']) }),
]);
export type WorkEvent = z.infer<typeof WorkEvent>;

export const RouterReply = z.discriminatedUnion('type', [
  z.object({ type: z.literal('go') }),
  z.object({ type: z.literal('stop'), reason: z.string() }),
  z.object({ type: z.literal('taken') }),
]);
export type RouterReply = z.infer<typeof RouterReply>;

/** `worker.heartbeat.v1.<backend>`, once a second by each worker for each backend it serves. */
export const WorkerHeartbeat = z.object({
  worker: Slug,
  backend: Slug,
  inFlight: z.int().nonnegative(),
  maxConcurrency: z.int().positive(),
  draining: z.boolean(),
});
export type WorkerHeartbeat = z.infer<typeof WorkerHeartbeat>;
