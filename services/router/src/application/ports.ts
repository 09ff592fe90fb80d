import type {
  AttemptExpectation,
  Attribution,
  BackendConfig,
  CandidateNumbers,
  ChatRequest,
  EmbeddingsRequest,
  FleetBackend,
  HEDGE_LOST,
  HedgingConfig,
  PriceVersion,
  Refusal,
  RouteConfig,
  RouterReply,
  RoutingDecisionMadeV1,
  TierConfig,
  UsageAttemptClosedV1,
  UsageAttemptExtendedV1,
  UsageAttemptOpenedV1,
  WorkEvent,
  WorkRequest,
} from '@meritorder/contracts';
import type { Attributes, EnforcedBudget, EnforcedWindow } from '@meritorder/budget-core';
import type { ExtendReply, ReserveCommand, ReserveReply } from '@meritorder/counters';
import type { LatencyCeilings } from '@meritorder/fleet-core';
import type { Nanos } from '@meritorder/kernel';
import type { BackendEstimate, ExpectedRevenue, MeasuredTimes } from '@meritorder/routing-core';
import type { Context } from '@opentelemetry/api';
import type { BudgetPath } from './budget-path.js';

/** Holds on budgets. Every verb may answer that the epoch is over; nothing is admitted then. */
export interface Admission {
  /** The open epoch, or undefined while admission is closed. */
  epochId(): number | undefined;
  reserve(command: ReserveCommand): Promise<ReserveReply>;
  /** Whether the hold may be spent from now on. False: nothing may go upstream. */
  open(attemptId: string): Promise<boolean>;
  /** A hold that was not opened yet keeps its money for another lease. */
  renew(attemptId: string, leaseMs: number): Promise<void>;
  /** An opened hold grows to these amounts, or stays what it is. */
  extend(attemptId: string, to: { cashNanos: Nanos; fullNanos: Nanos }): Promise<ExtendReply>;
  release(attemptId: string): Promise<void>;
}

/** A route, or backends by a name of their own, which have no settings. */
export interface NamedRoute {
  id: string;
  backends: BackendConfig[];
  settings?: RouteConfig | undefined;
}

/** What is known of backends and budgets, in memory. */
export interface Catalogue {
  backend(id: string): BackendConfig | undefined;
  /** What a request may name as its model. @param among the routes and backends that may be asked for; undefined: all */
  route(name: string, among?: readonly string[]): NamedRoute | undefined;
  /** Backends of all routes that have this one. */
  substitutesOf(backend: string): BackendConfig[];
  /** Settings of a tier for an org; `none`: the org has tiers, and this is not one of them. */
  tier(org: string, tier: string | undefined): TierConfig | undefined | 'none';
  tierIds(org: string): string[];
  routeIds(): string[];
  /** Of a name that several providers have for a model, which is therefore no route; else none. */
  providersOf(model: string): string[];
  price(backend: string, atMs: number): PriceVersion | undefined;
  /** Prices in force of the other models that may answer in its place. */
  otherPrices(backend: string, atMs: number): readonly PriceVersion[];
  /** False: there are budgets that this router has not heard of yet, so it must not admit anything. */
  knowsAllBudgets(): boolean;
  /** Of one request at any of the backends; those that differ in nothing that a budget looks at are given the same array. */
  budgetsOf(request: Attributes): (backend: BackendConfig) => readonly EnforcedBudget[];
  /** These windows with what budget-policy says of them. */
  pathOf(windows: readonly EnforcedWindow[]): BudgetPath;
  /** Limits of the account at a provider. */
  accountLimits(
    provider: string,
  ): { requestsPerMinute?: number | undefined; tokensPerMinute?: number | undefined } | undefined;
}

/** What a request will need, from its text and from what was learned. Memory only, and bounded in time for any text. */
export interface Estimator {
  estimate(request: {
    body: ChatRequest;
    /** Of a request of that kind. */
    embeddings?: EmbeddingsRequest | undefined;
    /** Of a request of another kind than chat: where a part of `body` is in it. */
    placeOf?: ((part: object) => string | undefined) | undefined;
    attribution: Attribution;
    route: string;
  }): RequestEstimate;
}

export interface RequestEstimate {
  of(backend: BackendConfig): BackendEstimate;
  /** The same for the record, so that whoever hears of the usage can learn from it. */
  expectation(backend: BackendConfig, maxTokens: number): Omit<AttemptExpectation, 'route' | 'maxTokens' | 'choices'>;
  /** The backend was sent the request: its prompt cache may know the conversation from now on. */
  sentTo(backend: BackendConfig, nowMs: number): void;
}

/** What one request is expected to put on a backend: tokens, all choices together. */
export interface ExpectedTokens {
  inputTokens: number;
  cacheReadTokens: number;
  outputTokens: number;
}

/** How busy backends are, what that costs others, and how long an answer takes. Memory only. */
export interface Loads {
  numbers(
    backend: BackendConfig,
    tokens: ExpectedTokens,
    /** `deadlineSeconds`: when the call is broken off, where the caller named a time. */
    wish: { targetSeconds: number; usdPerSecondLate: number; deadlineSeconds?: number | undefined } & LatencyCeilings,
    nowMs: number,
    /** As if nothing were in flight there. */
    isIdle?: boolean,
  ): Pick<CandidateNumbers, 'gpuSeconds' | 'usdPerGpuSecond' | 'lateSeconds' | 'latencySeconds' | 'inTimeChance'> &
    MeasuredTimes;
  /**
   * How soon one that is too slow may no longer be: when its queue is so much shorter, or what was measured has faded.
   * @param excessSeconds by which it is too slow
   */
  askAgainInSeconds(backend: BackendConfig, excessSeconds: number, nowMs: number): number;
  /** Expected, to the last token. */
  latencySeconds(backend: BackendConfig, tokens: ExpectedTokens, nowMs: number, isIdle?: boolean): number;
  /**
   * After how long without a first token a second call is worth its money, or without the answer where it does not stream.
   * @param outputDeviation of the logarithm of the output's length
   * @param share of requests that are faster, in (0, 1)
   */
  hedgeAfterSeconds(
    backend: BackendConfig,
    tokens: ExpectedTokens,
    of: { streams: boolean; outputDeviation: number; share: number },
    nowMs: number,
  ): number;
  load(backend: BackendConfig, nowMs: number): ReplicaLoad;
}

/** How full a backend is. */
export interface ReplicaLoad {
  inFlight: number;
  capacity: number;
  /** Requests that its engine has not begun, whoever sent them; 0 where it does not say. */
  waitingInEngine: number;
  /** Of its engine's key-value cache, 0..1; 0 where it does not say. */
  kvCacheShare: number;
}

/** A request as the quality learner reads it. */
export interface QualityReading {
  tags: string[];
  /** For the record. */
  promptFeatures: string;
  of(backend: BackendConfig): Pick<CandidateNumbers, 'quality' | 'qualityVariance' | 'priorQuality' | 'outcomes'>;
}

/** What was learned of answers. Memory only. */
export interface Qualities {
  read(request: { body: ChatRequest; attribution: Attribution; inputTokens: number }): QualityReading;
}

/** A request as far as what it may bring goes. */
export interface ConversionReading {
  /** What a conversion brings. @param configuredUsd of the request's tier or route */
  revenue(configuredUsd: number | undefined): ExpectedRevenue;
  of(
    backend: BackendConfig,
    expected: Pick<CandidateNumbers, 'quality' | 'priorQuality'>,
  ): Required<Pick<CandidateNumbers, 'conversion' | 'conversionVariance' | 'conversionKnown' | 'priorConversion'>>;
}

/** What was learned of conversions. Memory only. */
export interface Conversions {
  read(attribution: Attribution): ConversionReading;
}

/** Attempts after a failed one, limited so that an outage is not answered with its own load again. */
export interface Retries {
  /** A request came. */
  earn(): void;
  /** Whether another attempt may be made; takes one. */
  spend(): boolean;
}

/** What a hedge may be spent on: requests of one route and tier share a budget. */
export interface HedgeScope {
  route: string;
  tier: string | null;
  limits: Pick<HedgingConfig, 'requestShare' | 'usdPerHour'>;
}

/** Second calls while the first shows no token, limited in number and in what they are expected to cost. */
export interface Hedges {
  /** A request came. */
  earn(scope: HedgeScope): void;
  /** Whether a hedge of this expected cost may be sent; takes it. */
  spend(scope: HedgeScope, expectedUsd: number): boolean;
  /** It was not sent. */
  giveBack(scope: HedgeScope, expectedUsd: number): void;
  /** `won`: the caller has the hedge's answer. `lost`: it does not, whoever answered. */
  count(scope: HedgeScope, event: 'started' | 'won' | 'lost'): void;
}

/** What a router knows of a backend beside its configuration and its price. */
export type FleetView = Pick<FleetBackend, 'workers' | 'heardMsAgo' | 'draining' | 'breaker' | 'coolingMs'>;

/** For an operator. */
export interface FleetViews {
  view(backend: string): FleetView;
}

/** Live workers and the health of backends. */
export interface Fleet {
  workersAlive(backend: string): number;
  /** @param slotsLeftFree share of a worker's slots that does not count as room, 0..1 */
  workersWithRoom(backend: string, slotsLeftFree?: number): number;
  allows(backend: string, nowMs?: number): boolean;
  /** Why it does not, and for how long. */
  cooling(backend: string, nowMs?: number): { quota: boolean; seconds: number };
  /** Whether an org may have one more slot of own hardware, which others may want too. It is noted that it asked. */
  mayTake(backend: string, org: string): boolean;
  /** A request was decided for a backend, and has left it again: its load, before any heartbeat knows. */
  began(backend: string, org: string): void;
  /** Its worker has it, and counts it from now on; or it is not on its way any more. */
  arrived(backend: string, org: string): void;
  left(backend: string, org: string): void;
  /** Its worker says that it is full, whatever is known here: until it is heard of, nobody who waits is sent there. */
  wasFull(backend: string): void;
  probing(backend: string): void;
  succeeded(backend: string): void;
  /** `connect`: nothing listened, or nothing came back at all. */
  failed(backend: string, kind: 'connect' | 'answer'): void;
  quota(backend: string, retryAfterMs: number | undefined): void;
  /** The call is over, whatever it said of the backend. */
  ended(backend: string): void;
}

/** What happened to an attempt, as its worker or the lack of one says. */
export type AttemptSignal = WorkEvent | { type: 'no-worker' } | { type: 'silent'; firstTokenSeen: boolean };

export interface WorkSession {
  /** Next signal; `silent` when nothing was heard for too long. */
  next(): Promise<{ signal: AttemptSignal; reply(answer: RouterReply): void }>;
  /** When a worker has said of it that it has it; never, where none does. */
  readonly taken: Promise<void>;
  /** Tells the worker, wherever it is, that the attempt is open. One that has not heard of it in time says `ready`. */
  go(): void;
  /** Tells the worker, wherever it is, to end the attempt; `hedge-lost`: the other one of its request has the caller. */
  stop(reason?: typeof HEDGE_LOST): void;
  close(): void;
}

export interface Workers {
  /** @param backend where it is to run */
  dispatch(work: WorkRequest, backend: BackendConfig, context: Context): WorkSession;
}

export interface Caller {
  /** One error, as the last thing the caller hears of this request. */
  refuse(replyTo: string, requestId: string, refusal: Refusal): void;
}

/** What is remembered of the first request with an idempotency key. */
export interface KeyUse {
  /** Who claimed the key: the same again for a job that is delivered again. */
  claim: string;
  requestId: string;
  fingerprint: string;
  state: 'in-flight' | 'answered';
}

/** Idempotency keys of orgs, remembered durably for a time. */
export interface KeyLog {
  /** Claims a key unless somebody has. Returns the use that holds it. Rejects when that is not certain. */
  claim(org: string, key: string, use: KeyUse): Promise<KeyUse>;
  /** Its request was answered. A claim that is not told so stays one that is in flight. */
  answered(org: string, key: string, use: KeyUse): Promise<void>;
  /** The key may be used again. */
  free(org: string, key: string): Promise<void>;
}

/** What is remembered of a job whose id its caller named. */
export interface KnownJob {
  fingerprint: string;
  acceptedAt: string;
  /** What its customer is charged for once. */
  claim: string;
  /** Its message in the queue: what is published again under that is not a second one. */
  messageId: string;
  /** `taken`: whether the queue has it is not certain. */
  state: 'taken' | 'kept' | 'ended';
  /** Of its message in the queue, once that is certain. */
  sequence?: number;
}

/** Ids of jobs, remembered durably for as long as their results. */
export interface JobLog {
  /** Remembers it unless there is one of that id. Returns the one that is remembered, and which word of it that is. */
  take(org: string, id: string, job: KnownJob): Promise<{ job: KnownJob; revision: number }>;
  /** Says something new of it. Undefined: somebody else has, since that revision. */
  replace(org: string, id: string, job: KnownJob, revision: number): Promise<number | undefined>;
  hasResult(org: string, id: string, acceptedAt: string): Promise<boolean>;
  /** Tells the result of it again. False: there is none (any more). */
  tellResult(org: string, id: string, acceptedAt: string): Promise<boolean>;
}

/** The durable record of attempts. */
export interface AttemptLog {
  /** Who says it. */
  readonly recorder: string;
  /** Resolves when the stream has it; rejects when that is not certain in time. */
  opened(event: UsageAttemptOpenedV1, context: Context): Promise<void>;
  /** Repeats until the stream has it. Whether it has it in time for somebody who waits; never rejects. */
  closed(event: UsageAttemptClosedV1, context: Context): Promise<boolean>;
}

/** The durable record of holds that have grown. */
export interface ExtensionLog {
  /** Resolves when the stream has it; rejects when that is not certain in time. */
  record(event: UsageAttemptExtendedV1, context: Context): Promise<void>;
}

export interface DecisionLog {
  /** @param make makes the record when there is time for it: the request goes first */
  record(make: () => RoutingDecisionMadeV1, context: Context): void;
}
