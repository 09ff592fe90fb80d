import { z } from 'zod';
import { MAX_ANSWER_BYTES } from '../headers.js';
import { Amounts, Attribution, Instant, Kind, PriceVersion, Slug, UsdText, WindowCharge } from '../primitives.js';
import { Receipt } from '../receipt.js';
import { JobAcceptedV1 } from './job-accepted.v1.js';

/** What was expected of an attempt, so that whoever hears of its usage can learn from it. Tokens. */
export const AttemptExpectation = z.object({
  /** The route that was asked for: lengths of answers are learned by it. */
  route: Slug,
  inputTokens: z.int().nonnegative(),
  inputUpperTokens: z.int().nonnegative(),
  /** What the input is made of: tokens of text and of tools as estimated here, numbers of messages and images. */
  inputFeatures: z.object({
    text: z.number().nonnegative(),
    tools: z.number().nonnegative(),
    messages: z.int().nonnegative(),
    images: z.int().nonnegative(),
    /** Tokens expected of files and audio, of which nothing is learned; absent: there are none. */
    unlearned: z.int().nonnegative().optional(),
  }),
  cacheReadTokens: z.int().nonnegative(),
  /** The same before what usage taught: what the provider's cache would read if it did as documented. */
  cachePlannedTokens: z.int().nonnegative().optional(),
  /** Of one choice. */
  outputTokens: z.int().nonnegative(),
  outputP95Tokens: z.int().nonnegative(),
  outputP99Tokens: z.int().nonnegative(),
  maxTokens: z.int().positive(),
  choices: z.int().positive(),
  /** Of the answer, calibrated, 0..1: what conversions are learned by. */
  quality: z.number().min(0).max(1).optional(),
  /** As in the decision: complaints are learned as a share of the answers of these. */
  tags: z.array(z.string().max(512)).max(4).optional(),
});
export type AttemptExpectation = z.infer<typeof AttemptExpectation>;

/**
 * An attempt whose hold is less than its upper bound, because every budget it is charged to is tolerant: the worker has the hold
 * extended while it streams, or ends the stream. Output tokens of all choices together.
 */
export const GovernedHold = z.object({
  /** Covered by the hold. */
  heldTokens: z.int().positive(),
  /** The most that the request allows: what the backend was sent. */
  maxTokens: z.int().positive(),
  /** By which a hold grows. */
  sliceTokens: z.int().positive(),
});
export type GovernedHold = z.infer<typeof GovernedHold>;

/** What the customer is charged for a request, by its tier as of the reservation. */
export const ChargeTerms = z.object({
  /** On the full cost of the attempt that answered, as decimal text. */
  markup: z.string(),
  usdPerRequest: UsdText,
  /** The same for all attempts at a request: of those only the one that is booked as its answer first is charged. */
  claim: z.string().max(80),
});
export type ChargeTerms = z.infer<typeof ChargeTerms>;

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
  /** The largest cost this attempt can have; of a governed one, what is held for it so far. */
  bound: Amounts,
  governed: GovernedHold.optional(),
  windows: z.array(WindowCharge).max(64),
  priceVersion: Slug,
  /** Prices of other models that may answer in its place. */
  otherPriceVersions: z.array(Slug).max(16).optional(),
  reservedAt: Instant,
  deadlineAt: Instant,
  /** A hedge: the second call of a request whose first one, this attempt, had shown no token in time. */
  hedgeOf: Slug.optional(),
  /** Absent: the tier of the request has no charge. */
  charge: ChargeTerms.optional(),
  expected: AttemptExpectation.optional(),
});
export type AttemptTerms = z.infer<typeof AttemptTerms>;

/** `work.v1.<backend>`, of own hardware `work.v1.<host>.<backend>`: the router asks one worker to run one attempt. */
export const WorkRequest = z.object({
  terms: AttemptTerms,
  /** The request as it goes upstream, but for the model's name and options that the worker sets. */
  body: z.record(z.string(), z.unknown()),
  stream: z.boolean(),
  /** Whether the caller asked for `stream_options.include_usage`. */
  includeUsage: z.boolean(),
  /** The caller's inbox: the worker answers there. */
  replyTo: z.string(),
  /** The caller takes a whole answer in parts, of at most so many bytes in all. Absent: in one message. */
  maxAnswerBytes: z.int().positive().max(MAX_ANSWER_BYTES).optional(),
  price: PriceVersion,
  otherPrices: z.array(PriceVersion).max(16).optional(),
  /** For a backend that says nothing of its usage. */
  inputTokensExpected: z.number().nonnegative().optional(),
  /** A second attempt may be sent while this one shows no token: it tells the router of its first, and may be asked for its turn. */
  mayBeHedged: z.boolean().optional(),
  /** For a backend that is asked in batches: the job, which the worker sends on when its line has ended. */
  job: JobAcceptedV1.optional(),
  budgetsLeft: Receipt.shape.budgets_left,
  earlierAttempts: Receipt.shape.attempts,
  reason: z.string(),
});
export type WorkRequest = z.infer<typeof WorkRequest>;

/**
 * Worker to router, on the inbox of the work request.
 * A worker that takes the work says so with a `heartbeat`. One that could not say so for `WORKER_SPEAKS_MS` asks with it: the
 * answer is `heard`, or `stop` when the attempt was given up.
 * No byte goes upstream before the router has put the attempt on record and marked its hold as opened. It says so on
 * `attempt.go.v1`, with the backend and the attempt; a worker that has not heard of it in time asks with `ready`, which is a request: the answer is `go` or `stop`.
 * `failed` is a request too: the router answers `taken` when it goes on with the next candidate or answers the caller
 * itself; without that answer the worker ends the caller's wait with the error.
 * `extend` is one as well: a governed attempt asks for a larger hold before the one it has is used up. It names a total, so
 * asking again changes nothing.
 * `first-token` and `turn` are requests of attempts that are hedged or may be: see `TurnRequest`.
 */
export const WorkEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('refused'),
    code: z.enum(['busy', 'draining', 'unknown-backend', 'invalid', 'deadline', 'given-up', 'cancelled']),
    message: z.string(),
  }),
  z.object({ type: z.literal('ready'), attemptId: Slug }),
  /** In a batch that is kept: from here on the worker has the job. */
  z.object({ type: z.literal('batched'), attemptId: Slug }),
  z.object({ type: z.literal('heartbeat'), attemptId: Slug, firstTokenSeen: z.boolean() }),
  z.object({
    type: z.literal('extend'),
    attemptId: Slug,
    worker: Slug,
    /** Output tokens of all choices that the hold shall cover. */
    outputTokens: z.int().positive(),
  }),
  /** The caller hears of this attempt from now on: the router ends the other one, answers `noted`, and starts no more. */
  z.object({ type: z.literal('first-token'), attemptId: Slug }),
  /** A hedge whose first attempt's worker does not answer it. */
  z.object({ type: z.literal('turn'), attemptId: Slug }),
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
      'credential',
      'caller-fault',
      'content-filter',
      'context-length',
      'cut',
      'protocol',
      'cancelled',
      'stopped',
      'hedge-lost',
      'draining',
    ]),
    message: z.string(),
    status: z.int().optional(),
    retryAfterSeconds: z.number().optional(),
    /** The same backend may be asked again at once: another of its credentials is free, or another of its workers. */
    again: z.boolean().optional(),
    /** It is known to have cost nothing: it was not sent, or refused before anything was done. */
    costNothing: z.boolean().optional(),
  }),
  /** The caller has its answer, or its error after the first token; `yielded`: it has nothing of this attempt, for the other has its turn. */
  z.object({ type: z.literal('finished'), attemptId: Slug, status: z.enum(['ok', 'error', 'cancelled', 'yielded']) }),
]);
export type WorkEvent = z.infer<typeof WorkEvent>;

/**
 * `attempt.turn.v1.<attempt>`: a hedge asks the worker of the first attempt for the turn, before it writes to the caller. The turn
 * is the first attempt's own until then, which so pays no round trip; whoever has it may write, and nobody else. Given once, it
 * stays with who got it, so asking again is answered alike. The answer comes on `attempt.turned.v1.<question>`.
 */
export const TurnRequest = z.object({
  /** The hedge. */
  by: Slug,
  /** Only if the first attempt is over without a word to the caller: to say how the request ended. */
  ifOver: z.boolean(),
});
export type TurnRequest = z.infer<typeof TurnRequest>;

const ReceiptAttempt = Receipt.shape.attempts.element;

/** `talk`: the turn is the hedge's, and what became of the first attempt. `yield`: it is not. */
export const TurnReply = z.discriminatedUnion('type', [
  z.object({ type: z.literal('talk'), attempt: ReceiptAttempt }),
  z.object({ type: z.literal('yield') }),
]);
export type TurnReply = z.infer<typeof TurnReply>;
/**
 * A router that hears nothing of an attempt for this long gives it up: its worker tells it once a second that it goes on. Time in
 * which the router itself stood still does not count.
 */
export const WORKER_SILENT_MS = 4_000;
/**
 * A worker that has not told the router for this long says nothing to the caller before it has asked: what it says must have arrived
 * before the router gives up.
 */
export const WORKER_SPEAKS_MS = 3_000;

export const RouterReply = z.discriminatedUnion('type', [
  ...TurnReply.options,
  /** Of a first token: attempts for the receipt that ran beside this one. */
  z.object({ type: z.literal('noted'), others: Receipt.shape.attempts }),
  z.object({ type: z.literal('go') }),
  /** Of a heartbeat that asks: the attempt is not given up. */
  z.object({ type: z.literal('heard') }),
  z.object({ type: z.literal('stop'), reason: z.string() }),
  z.object({ type: z.literal('taken') }),
  /** Held and on record: these output tokens may be generated. */
  z.object({ type: z.literal('extended'), outputTokens: z.int().positive(), bound: Amounts }),
  z.object({
    type: z.literal('not-extended'),
    /** `budget`: one has no room; `closed`: the hold is gone, or admission is. */
    cause: z.enum(['budget', 'closed']),
    message: z.string(),
    budget: Slug.optional(),
    window: z.string().optional(),
  }),
]);
export type RouterReply = z.infer<typeof RouterReply>;

export const ENGINES = ['vllm', 'sglang', 'tgi', 'llama.cpp', 'ollama', 'openai'] as const;

/** What an engine on own hardware says of itself; what it does not say is absent. */
export const EngineReport = z.object({
  /** `openai`: one that is not recognised, and lists its models. */
  engine: z.enum(ENGINES),
  version: z.string().max(64).optional(),
  contextTokens: z.int().positive().optional(),
  /** Requests it works on at once. */
  slots: z.int().positive().optional(),
  /** Requests in it, whoever sent them. */
  running: z.number().nonnegative().optional(),
  waiting: z.number().nonnegative().optional(),
  kvCacheShare: z.number().min(0).max(1).optional(),
  prefillTokensPerSecond: z.number().positive().optional(),
  decodeTokensPerSecond: z.number().positive().optional(),
});
export type EngineReport = z.infer<typeof EngineReport>;

/** `worker.heartbeat.v1.<backend>`, of own hardware `worker.heartbeat.v1.<host>.<backend>`, once a second by each worker for each backend it serves. */
export const WorkerHeartbeat = z.object({
  worker: Slug,
  backend: Slug,
  inFlight: z.int().nonnegative(),
  maxConcurrency: z.int().positive(),
  draining: z.boolean(),
  engine: EngineReport.optional(),
  /** Of `inFlight`, by org. */
  orgs: z.record(Slug, z.int().positive()).optional(),
});
export type WorkerHeartbeat = z.infer<typeof WorkerHeartbeat>;
