import { z } from 'zod';
import { Attribution, Basis, Instant, Kind, NanosText, Slug } from '../primitives.js';
import { Wishes } from '../requests/inference-request.v1.js';

export const OBJECTIVES = ['cheapest', 'value', 'margin', 'quality'] as const;
/** What a route or tier is after; each is a preset of one score. */
export const Objective = z.enum(OBJECTIVES);
export type Objective = z.infer<typeof Objective>;

/** How much may go to others than the best, to learn. Shares are 0..1. */
export const ExplorationSettings = z.object({
  /** Most that exploring may add to the expected spend, as a share of what the best candidate costs. */
  spendShare: z.number().min(0).max(1),
  /**
   * By its full cost, its share of own hardware included: by what own hardware adds for one request more, hardly anybody would be
   * tried beside it. Absent: by its marginal cost alone, as records of before are.
   */
  spendOf: z.literal('full').optional(),
  /** What the best candidate is taken to cost at least, USD: where it is free, a share of nothing would try nobody. */
  leastCostUsd: z.number().min(0),
  /** Most requests that go elsewhere than to the best candidate, all others together. */
  requestShare: z.number().min(0).max(1),
  /** Most that exploring may cost, as a share of what requests bring, where that is known; absent: no such limit. */
  revenueShare: z.number().min(0).max(1).optional(),
  /** Share of requests that are served as if nothing had been learned, to measure what learning is worth. */
  holdOutShare: z.number().min(0).max(1),
});
export type ExplorationSettings = z.infer<typeof ExplorationSettings>;

/** What the choice was made by, beside the candidates: route, tier and the caller's wishes brought together. */
export const DecisionPolicy = z.object({
  objective: Objective,
  /** The tier whose settings are in it; null: none. */
  tier: z.string().nullable(),
  /** What a quality of 1 is worth, USD. */
  usdPerQuality: z.number().min(0),
  /** Under `margin`: what a conversion brings, USD. */
  revenueUsd: z.number(),
  /** Whence that is, before a worth that the caller stated; absent: not on record. */
  revenue: z
    .object({
      expectedUsd: z.number().min(0),
      /** `learned`: of what was reported, starting from what is configured. `unknown`: neither. */
      from: z.enum(['configured', 'learned', 'unknown']),
      /** Of the tier, or else the route; absent: neither says. */
      configuredUsd: z.number().min(0).optional(),
    })
    .optional(),
  leastQuality: z.number().min(0).max(1),
  /** On the expected cash cost, what is left of it after the attempts before; null: none. The caller's own cap on the bound is `maxTokens` and exclusions. */
  maxCostUsd: z.number().min(0).nullable(),
  /** What a second beyond the deadline costs, USD. */
  usdPerSecondLate: z.number().min(0),
  /** Least (charged - full cost) / charged of a candidate; null: none. */
  leastMarginShare: z.number().max(1).nullable(),
  /** Left until the call is broken off, seconds; absent: the caller named no deadline, or it is a job, which is not broken off by it. */
  deadlineSeconds: z.number().positive().optional(),
  /** Most that an answer may be expected to take, seconds; absent: no ceiling. */
  maxLatencySeconds: z.number().positive().optional(),
  /** Most that the first token of a stream may be expected to take, seconds; absent: no ceiling, or no stream. */
  maxFirstTokenSeconds: z.number().positive().optional(),
  /** Null: the best is always taken. */
  exploration: ExplorationSettings.nullable(),
});
export type DecisionPolicy = z.infer<typeof DecisionPolicy>;

/** What the choice took at random, each within [0, 1). */
export const DecisionDraws = z.object({
  holdOut: z.number().min(0).lt(1),
  explore: z.number().min(0).lt(1),
  /** Between replicas of one model. */
  replica: z.number().min(0).lt(1),
});
export type DecisionDraws = z.infer<typeof DecisionDraws>;

/** The numbers of one candidate that the score is made of. Estimates, so floating point. */
export const CandidateNumbers = z.object({
  /** Calibrated, 0..1. */
  quality: z.number().min(0).max(1),
  qualityVariance: z.number().min(0),
  /** Quality by the operator's prior alone: what the hold-out goes by. */
  priorQuality: z.number().min(0).max(1),
  /** Decayed outcomes that the quality rests on; 0: the prior alone. */
  outcomes: z.number().min(0),
  /** P(conversion); absent: not known of, quality stands for it. */
  conversion: z.number().min(0).max(1).optional(),
  conversionVariance: z.number().min(0).optional(),
  /** Whether its own requests say enough of it; false: it rests on others. */
  conversionKnown: z.boolean().optional(),
  /** Of one without requests of its own and of its prior quality: what the hold-out goes by. */
  priorConversion: z.number().min(0).max(1).optional(),
  /** What the request adds; USD. `expectedCashUsd` and `expectedFullUsd` stand beside it. */
  marginalUsd: z.number().min(0),
  /** What the customer would be charged, USD; absent: no charge rule. */
  chargedUsd: z.number().optional(),
  /** Sum of the shadow prices of the cash and of the full budgets on its path, USD of value per USD. */
  shadowCash: z.number().min(0),
  shadowFull: z.number().min(0),
  /** Its bound is more than what a budget can spare: it stands behind those that fit. */
  beyondRoom: z.boolean().optional(),
  gpuSeconds: z.number().min(0),
  usdPerGpuSecond: z.number().min(0),
  /** E[max(0, latency - deadline)]. */
  lateSeconds: z.number().min(0),
  /** Expected latency to the last token, seconds. */
  latencySeconds: z.number().min(0).optional(),
  /** P(latency <= `deadlineSeconds`): value counts by as much, for an answer that is late reaches nobody. Absent: no such deadline. */
  inTimeChance: z.number().min(0).max(1).optional(),
  /** The expected latency by what was measured lately, which a ceiling is held against; absent: too little was, or there is no ceiling. */
  measuredSeconds: z.number().min(0).optional(),
  /** To the first token, likewise. */
  measuredFirstTokenSeconds: z.number().min(0).optional(),
  /** Replicas of one model have the same; absent: it is alone. */
  replicaOf: z.string().max(256).optional(),
  /** With which it is the replica that is asked, of those of its group. */
  replicaChance: z.number().min(0).max(1).optional(),
  /**
   * How the one of its group is found: `prefix` (who is to have the prompt's prefix warm), `two-choices` (the faster of two drawn)
   * or `only` (the others lose too much by it). Its group then counts by its best, not by the one that is asked. Absent: it is alone,
   * or the record is of before that.
   */
  replicaBy: z.enum(['prefix', 'two-choices', 'only']).optional(),
});
export type CandidateNumbers = z.infer<typeof CandidateNumbers>;

/** Why the counters passed over a candidate and took one after it. */
export const PassedOver = z.object({
  /**
   * Of a budget: `exhausted` (no room, whatever is in flight), `held` (room but for the requests in flight), `stage`, `throttled`,
   * `instances` (its template has as many windows as it may). `rate`: the provider's account; `org-rate`: the org's quota.
   */
  kind: z.enum(['exhausted', 'held', 'stage', 'throttled', 'instances', 'rate', 'org-rate']),
  budget: Slug.optional(),
  window: z.string().optional(),
  /** Of `stage`. */
  stage: z.enum(['prefer-local', 'local-only', 'reject']).optional(),
  /** The provider whose account, or the org whose quota, is at its limit. */
  account: z.string().max(256).optional(),
  short: z.enum(['requests', 'tokens']).optional(),
  /** Of `rate` and `org-rate`. */
  limitPerMinute: z.number().min(0).optional(),
});
export type PassedOver = z.infer<typeof PassedOver>;

/** All candidates with their numbers, the choice and why: enough to make the same decision again. */
export const RoutingDecisionMadeV1 = z.object({
  requestId: Slug,
  attemptId: Slug.optional(),
  attemptNumber: z.int().min(1),
  /** The decision for a hedge: the attempt beside which it runs, for that had shown no token in time. */
  hedgeOf: Slug.optional(),
  attribution: Attribution,
  kind: Kind,
  route: Slug,
  /** What the caller asked for; it is in `policy`, as far as route and tier allow. Absent: nothing. */
  wishes: Wishes.optional(),
  objective: Objective,
  decidedAt: Instant,
  /** How long the request waited for a slot before; absent: not at all. */
  waitedMs: z.int().min(0).optional(),
  epoch: z.int().nonnegative(),
  inputTokensExpected: z.number(),
  inputTokensBound: z.number(),
  outputTokensExpected: z.number(),
  maxTokens: z.int().nullable(),
  /** Answers that were asked for, each of `outputTokensExpected`; absent: one. */
  choices: z.int().min(2).optional(),
  /** Whether the answer was to come as a stream; absent: not on record. */
  streams: z.boolean().optional(),
  /** A durable job, whose deadline does not break off its call. Absent: it is none, or not on record. */
  isJob: z.literal(true).optional(),
  /** When a job must have been answered that may be asked in a batch. Absent: it may not, or not on record. */
  jobDeadlineAt: Instant.optional(),
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
      /** Null where no hold was worked out: it was not among the candidates that were offered to the counters. */
      boundCashNanos: NanosText.nullable(),
      boundFullNanos: NanosText.nullable(),
      excluded: z.string().nullable(),
      /** Why in one word: `unable` (whatever the policy), `not-allowed`, `unpriced`, `unavailable`, `busy`, `too-short`, `above-cap`, `below-floor`, `too-slow`. */
      exclusionCode: z.string().max(64).optional(),
      numbers: CandidateNumbers.optional(),
      scoreUsd: z.number().optional(),
      valueUsd: z.number().optional(),
      /** With which it was the first choice for such a request. */
      probability: z.number().min(0).max(1).optional(),
      /** With which the exploration guard let it be explored at most; absent: there was nothing to guard. */
      mostExplored: z.number().min(0).max(1).optional(),
      /** It stood before the choice, and was not taken; absent: it was not passed over, or nothing is on record of why. */
      passedOver: PassedOver.optional(),
      /** Windows that it would be charged to. */
      budgets: z
        .array(z.object({ budget: Slug, window: z.string(), basis: Basis, shadowPrice: z.number().min(0) }))
        .optional(),
    }),
  ),
  choice: Slug.nullable(),
  /** Of the first choice; the counters may have taken a later one, see `order` and `choice`. */
  probability: z.number().min(0).max(1),
  refusal: z.string().nullable(),
  reason: z.string(),
  policy: DecisionPolicy.optional(),
  draws: DecisionDraws.optional(),
  /** Why the first of `order` is first. */
  choiceKind: z.enum(['best', 'explored', 'hold-out']).optional(),
  /** What the exploration guard took the request to bring, USD; absent: not known, or nothing was explored. */
  explorationIncomeUsd: z.number().min(0).optional(),
  /** In which candidates were offered to the counters: the first that fits every budget is the choice. */
  order: z.array(Slug).max(1_000).optional(),
  /** What quality was predicted by, the most general first. */
  tags: z.array(z.string().max(512)).max(4).optional(),
  /** The prompt as the quality learner read it, without its words: base64. */
  promptFeatures: z.string().max(8_192).optional(),
  /** Those of `candidates[].budgets` that span orgs. Only the copy of the operator has them (subject token `operator`). */
  sharedBudgets: z.array(Slug).optional(),
  /** It is the copy of the org, without what is said of budgets that span orgs; absent: it is the whole record. */
  budgetsWithheld: z.literal(true).optional(),
});
export type RoutingDecisionMadeV1 = z.infer<typeof RoutingDecisionMadeV1>;
