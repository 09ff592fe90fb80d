import {
  type AttemptExpectation,
  type Attribution,
  type ChatRequest,
  type DecisionDraws,
  type JobAcceptedV1,
  type Kind,
  type LimitsConfig,
  type TierConfig,
  type OrgConfig,
  type PassedOver,
  type Refusal,
  firstTokenTimeoutMs,
} from '@meritorder/contracts';
import { allEnforcedAt } from '@meritorder/budget-core';
import type { ReserveGrant } from '@meritorder/counters';
import { worthWaiting } from '@meritorder/fleet-core';
import { newId, type Clock } from '@meritorder/kernel';
import {
  ableCandidates,
  asGoodAs,
  brokenOffAfter,
  explain,
  holdOf,
  loweredText,
  missesDeadline,
  notAllowed,
  policyFor,
  requirementsOf,
  servesKind,
  withRevenue,
  type Able,
  type BackendView,
  type Excluded,
  type RequestPolicy,
} from '@meritorder/routing-core';
import type { Context } from '@opentelemetry/api';
import {
  chooseBackend,
  scarceOn,
  scoreWhenIdle,
  bestNow,
  type Choice,
  type ChoiceSources,
  type Weighed,
} from './choose-backend.js';
import type { BudgetPath } from './budget-path.js';
import { CapLeft } from './cap-left.js';
import { decisionRecord } from './decision-record.js';
import { drawsOf, promptPrefix } from './draws.js';
import { GrowingHold } from './extend-hold.js';
import { followAttempt, type RequestPath } from './follow-attempt.js';
import { hedgeAfterSeconds } from './hedge-after.js';
import { HedgeRace, type Leg } from './hedge-race.js';
import { oncePerKey } from './once-per-key.js';
import { notGranted } from './not-granted.js';
import { OpenHandshake } from './open-handshake.js';
import { CANCELLED, refused, YIELDED, type DispatchOutcome, type Step } from './outcome.js';
import { passedOverBy } from './passed-over.js';
import { Place } from './place.js';
import type { SourceRequest } from './read-request.js';
import { exclusionRefusal, kindUnsupported, routeUnknown, tierUnknown } from './refusals.js';
import type {
  Admission,
  AttemptLog,
  Caller,
  Catalogue,
  ConversionReading,
  Conversions,
  DecisionLog,
  Estimator,
  ExtensionLog,
  Fleet,
  Hedges,
  KeyLog,
  Loads,
  NamedRoute,
  Qualities,
  QualityReading,
  RequestEstimate,
  Retries,
  Workers,
} from './ports.js';
import { Reservations } from './reservations.js';
import type { SlotQueue } from './slot-queue.js';
import { forgetFull, servesLater, SlotWait } from './slot-wait.js';
import { uncarriedBy } from './uncarried-by.js';
import { viewsOf } from './views-of.js';
import { workMessage, type Offer } from './work-message.js';

export interface DispatchPorts {
  clock: Clock;
  admission: Admission;
  catalogue: Catalogue;
  estimator: Estimator;
  qualities: Qualities;
  conversions: Conversions;
  loads: Loads;
  retries: Retries;
  hedges: Hedges;
  /** Uniform within [0, 1). */
  random(): number;
  fleet: Fleet;
  workers: Workers;
  caller: Caller;
  decisions: DecisionLog;
  attempts: AttemptLog;
  extensions: ExtensionLog;
  keys: KeyLog;
  slots: SlotQueue;
  /** Runs something every `ms` until the returned function is called. */
  every(ms: number, run: () => void): () => void;
}

export interface DispatchRequest {
  requestId: string;
  /** Of a durable job, which may be delivered again. */
  isJob?: boolean;
  /** What a customer is charged for once, however often it is run; absent: this request, whatever the caller named it. */
  claim?: string;
  /** Until when the answer of a job is of use; it may wait for idle own hardware, or be in a batch, until shortly before. */
  jobDeadlineMs?: number;
  /** Absent: it cannot be in a batch. */
  job?: JobAcceptedV1;
  kind: Kind;
  body: ChatRequest;
  source?: SourceRequest | undefined;
  attribution: Attribution;
  org: OrgConfig;
  /** Already checked to be the caller's own inbox. */
  replyTo: string;
  /** The caller takes an answer in parts, of at most so many bytes in all. */
  maxAnswerBytes?: number;
  deadlineMs: number;
  context: Context;
  /** Aborted when the caller cancels. */
  cancelled: AbortSignal;
}

/** Physical calls that one request may cause. */
const MAX_ATTEMPTS = 4;
/** Two may be lost. */
const RENEWALS_PER_LEASE = 3;

/**
 * Decides, reserves, dispatches, and goes on with the next candidate while nothing has reached the caller. Tells the caller
 * every refusal itself.
 */
export async function dispatchRequest(
  ports: DispatchPorts,
  limits: LimitsConfig,
  request: DispatchRequest,
): Promise<DispatchOutcome> {
  const outcome = await oncePerKey(ports.keys, request, () => new Dispatch(ports, limits, request).run());
  if (outcome.ended === 'refused') ports.caller.refuse(request.replyTo, request.requestId, outcome.refusal);
  return outcome;
}

class Dispatch {
  private readonly path: RequestPath = { tried: [], again: undefined, full: new Set() };
  private readonly capLeft = new CapLeft();
  private readonly requirements;
  private tier: TierConfig | undefined;
  private conversions: ConversionReading | undefined;
  /** Attempts that were sent, hedges too; those that found their worker full and then waited do not count. */
  private sent = 0;
  private mostSent = MAX_ATTEMPTS;
  private readonly slotWait: SlotWait;
  private readonly reservations: Reservations;
  private race: HedgeRace | undefined;
  private readonly claim: string;

  constructor(
    private readonly ports: DispatchPorts,
    private readonly limits: LimitsConfig,
    private readonly request: DispatchRequest,
  ) {
    this.requirements = {
      ...requirementsOf(request.body, request.source),
      uncarriedBy: uncarriedBy(request.body),
      ...(request.job && request.jobDeadlineMs !== undefined
        ? { batchWithinMs: request.jobDeadlineMs - ports.clock.nowMs() }
        : {}),
    };
    this.reservations = new Reservations(ports, limits.reservationLeaseMs, request.org, this.requirements.choices);
    this.slotWait = new SlotWait(ports, limits, request, this.path.full);
    this.claim = request.claim ?? newId();
  }

  async run(): Promise<DispatchOutcome> {
    const { catalogue, estimator, retries } = this.ports;
    const { body, org, attribution, kind, source } = this.request;
    const route = catalogue.route(body.model, org.routes);
    if (!route) return refused(routeUnknown(catalogue, org, body.model));
    if (route.backends.length === 0)
      return refused({
        code: 'backend_unavailable',
        message: `No backend has joined the route ${route.id} yet.`,
        retryAfterSeconds: 5,
      });
    if (!route.backends.some((b) => servesKind(b, kind))) return refused(kindUnsupported(route.id, kind));
    const tier = catalogue.tier(org.id, attribution.tier);
    if (tier === 'none') return refused(tierUnknown(catalogue, org, attribution.tier));
    this.tier = tier;
    if (!catalogue.knowsAllBudgets())
      return refused({
        code: 'admission_closed',
        message: 'This router has not heard of all budgets yet; retry in a few seconds.',
        retryAfterSeconds: 2,
      });
    retries.earn();
    const estimate = estimator.estimate({
      body,
      embeddings: source?.embeddings,
      placeOf: source?.placeOf,
      attribution,
      route: route.id,
    });
    const policy = this.withConversions(
      policyFor({
        route: route.settings,
        tier,
        hasTiers: tier === undefined && catalogue.tierIds(org.id).length > 0,
        wishes: body.meritorder,
        streams: body.stream === true,
      }),
    );
    const asked = { id: route.id, ...this.asked(route, policy, estimate) };
    if (policy.hedging) this.ports.hedges.earn({ route: route.id, tier: policy.score.tier, limits: policy.hedging });
    let last: Refusal | undefined;
    while (this.sent < this.mostSent) {
      const step = await this.hedged(asked, estimate, last);
      if (step.ended !== 'next') return step;
      last = step.refusal;
      // Busy workers cost nothing, nor does what a model cannot be told: only what failed is limited.
      const tried = this.path.tried.at(-1);
      if (tried?.outcome === 'failed' && tried.code !== 'caller-fault' && !retries.spend()) break;
    }
    return { ended: 'refused', refusal: last! };
  }

  /** Under `margin` conversions count, and what one brings. */
  private withConversions(policy: RequestPolicy): RequestPolicy {
    if (policy.score.objective !== 'margin') return policy;
    this.conversions = this.ports.conversions.read(this.request.attribution);
    return withRevenue(policy, this.conversions.revenue(policy.revenueConfiguredUsd));
  }

  /**
   * Who may serve it: those of the route that its tier and its regions allow; where a backend, or a model of one provider, is named
   * and substitution is allowed, also those of its routes that are expected to be as good.
   */
  private asked({ backends, settings }: NamedRoute, policy: RequestPolicy, estimate: RequestEstimate): AskedBackends {
    const { catalogue, qualities } = this.ports;
    const { body, attribution, org } = this.request;
    const [first] = backends;
    const inputTokens = estimate.of(first!).inputTokensExpected;
    const quality = qualities.read({ body, attribution, inputTokens });
    const allowed = (b: WorkBackend): boolean => notAllowed(policy, b) === undefined;
    if (settings !== undefined || !policy.substitution)
      return { backends: backends.filter(allowed), all: backends, policy, quality };
    const others = catalogue.substitutesOf(first!.id).filter((b) => !org.routes || org.routes.includes(b.id));
    const all = [...new Set([...backends, ...others])];
    const asGood = asGoodAs(policy, quality.of(first!).quality);
    return { backends: all.filter(allowed), all, policy: asGood, quality };
  }

  /** An attempt, and its hedge where the policy has them: at most one hedge for a request, and none for a job, which can wait. */
  private async hedged(
    route: AskedRoute,
    estimate: RequestEstimate,
    last: Refusal | undefined,
  ): Promise<Exclude<Step, { ended: 'yielded' }>> {
    const { policy } = route;
    const { isJob, cancelled, deadlineMs } = this.request;
    this.race =
      policy.hedging && !isJob && !this.race?.isHedged()
        ? new HedgeRace(
            this.ports,
            { scope: { route: route.id, tier: policy.score.tier, limits: policy.hedging }, cancelled, deadlineMs },
            (race) => this.attempt(route, estimate, undefined, race),
          )
        : undefined;
    const { race } = this;
    try {
      const step = await this.attempt(route, estimate, last, undefined);
      if (race) return await race.settle(step);
      return step.ended === 'yielded' ? { ended: 'answered' } : step;
    } catch (error) {
      race?.abandon();
      throw error;
    }
  }

  /** @param beside the race whose hedge this attempt is to be: it says nothing when it is not sent */
  private async attempt(
    route: AskedRoute,
    estimate: RequestEstimate,
    last: Refusal | undefined,
    beside: HedgeRace | undefined,
  ): Promise<Step> {
    const number = this.sent + 1;
    if (beside && number > this.mostSent) return YIELDED;
    const nowMs = this.ports.clock.nowMs();
    const { deadlineMs, jobDeadlineMs = deadlineMs } = this.request;
    // A job may wait longer for others of its batch than one run of it may take. Nothing was sent: it has another run.
    const waited = (backend: string): boolean => route.backends.some((b) => b.id === backend && b.batch);
    if (last && nowMs >= deadlineMs && nowMs < jobDeadlineMs && this.path.tried.every((t) => waited(t.backend)))
      return refused({ code: 'backend_unavailable', message: last.message, retryAfterSeconds: 1 });
    if (nowMs >= deadlineMs)
      return refused({ code: 'deadline_exceeded', message: 'The deadline passed before an answer.' });
    if (this.request.cancelled.aborted) return refused(CANCELLED);
    const { quality } = route;
    const policy = this.policyNow(route.policy, nowMs);
    const { again } = this.path;
    this.path.again = undefined;
    const untried = route.backends.filter(
      (b) => b.id !== beside?.firstLeg.backend && (b.id === again || !this.path.tried.some((t) => t.backend === b.id)),
    );
    const { catalogue, fleet } = this.ports;
    const viewed = (backends: WorkBackend[]): BackendView[] =>
      viewsOf(backends, catalogue, fleet, nowMs, policy.slotsLeftFree, this.request.org.id);
    const views = viewed(untried);
    const { able: affordable, excluded: unable } = ableCandidates(
      views,
      this.requirements,
      (backend) => estimate.of(backend),
      (beside ? route.policy : policy).maxCostNanos,
      nowMs,
    );
    const { able, excluded: tooDear } = beside
      ? this.capLeft.forHedge(affordable, route.policy)
      : { able: affordable, excluded: [] };
    const draws = drawsOf(this.request, this.ports.random);
    const choice = this.choose(able, policy, quality, draws, nowMs);
    // A worker that was busier than was known here is one to wait for, too.
    const waiting = this.path.tried.every((t) => t.outcome === 'refused')
      ? this.waiting(choice, () => (number === 1 ? views : viewed(route.backends)), estimate, route, nowMs)
      : undefined;
    if (waiting) return refused(waiting);
    const excluded = [...unable, ...tooDear, ...choice.belowFloor, ...notServing(route)];
    const hedgeOf = beside?.firstLeg.attemptId;
    const decided = { route: route.id, number, hedgeOf, policy, quality, draws, choice, excluded };
    if (choice.order.length === 0) {
      if (beside) return YIELDED;
      const offers = this.ifFree({ ...route, policy }, estimate, excluded, draws, nowMs);
      const waited = await this.slotWait.wait({
        refusal: this.capLeft.refusal(route.policy, excluded, last) ?? last ?? exclusionRefusal(excluded),
        excluded,
        offers,
        policy,
        secondsEach: offers[0] ? this.latencySeconds(offers[0].candidate, nowMs) : 0,
        sent: this.sent,
        refusedByBudgets: () => this.reservations.refused(offers, nowMs),
      });
      if (waited.again) {
        this.mostSent += forgetFull(this.path);
        waited.place.leave();
        return this.attempt(route, estimate, last, undefined);
      }
      if (waited.isDecided) this.record(decided, undefined, undefined, waited.refusal);
      return refused(waited.refusal);
    }
    // Nobody would hear of it, and it would be charged.
    if (beside && missesDeadline(policy.score, choice.order[0]!.numbers)) return YIELDED;
    // What a hedge is expected to cost is spent before it is sent, so only one backend is asked.
    const offers = choice.order.slice(0, beside ? 1 : MOST_OFFERED).map((weighed) => this.offer(weighed));
    if (beside && !beside.spend(offers[0]!.candidate.expectedMarginalUsd)) return YIELDED;
    // Counted when it is decided: of many that come at once, each sees those before it.
    const place = new Place(fleet, this.request.org.id, offers[0]!.candidate.backend.id);
    try {
      return await this.admit(decided, offers, place, estimate, nowMs, beside);
    } finally {
      place.leave();
    }
  }

  /** With what is left of the caller's money and time. The deadline of a job is that of the job, not of its call. */
  private policyNow(policy: RequestPolicy, nowMs: number): RequestPolicy {
    const { isJob, deadlineMs } = this.request;
    const left = this.capLeft.of(policy);
    return isJob ? left : brokenOffAfter(left, (deadlineMs - nowMs) / 1_000);
  }

  private async admit(
    decided: Decided,
    offers: readonly Offer[],
    place: Place,
    estimate: RequestEstimate,
    nowMs: number,
    beside: HedgeRace | undefined,
  ): Promise<Step> {
    const attemptId = newId();
    const reply = await this.reservations.reserve(attemptId, offers);
    if (beside && (reply.type !== 'granted' || beside.isDecided())) {
      if (reply.type === 'granted') await this.ports.admission.release(attemptId);
      return YIELDED;
    }
    if (reply.type !== 'granted') {
      const { refusal, isDecided } = notGranted(reply, offers, nowMs);
      if (isDecided) this.record(decided, undefined, undefined, refusal);
      return refused(refusal);
    }
    const offer = offers[reply.candidateIndex]!;
    const chosen = offer.candidate;
    place.moveTo(chosen.backend.id);
    const passedOver = passedOverBy(reply);
    const reason = this.reasonFor(decided, reply.candidateIndex, passedOver);
    this.record({ ...decided, passedOver }, chosen, attemptId, undefined, reason);
    // A governed hold may grow up to what the caller allows, so that is what the backend is sent.
    const maxTokens = offer.hold.governed ? chosen.maxTokens : reply.maxTokens;
    const expected = {
      route: decided.route,
      ...estimate.expectation(chosen.backend, maxTokens),
      // The record knows no request without output; embeddings are one.
      maxTokens: Math.max(1, maxTokens),
      choices: this.requirements.choices,
      quality: offer.quality,
      tags: decided.quality.tags,
    };
    estimate.sentTo(chosen.backend, nowMs);
    return this.work(offer, reply, attemptId, decided, nowMs, expected, reason, place);
  }

  /** Who would take it, were nobody full or away, best first. */
  private ifFree(
    { backends, policy, quality }: AskedBackends,
    estimate: RequestEstimate,
    excluded: readonly Excluded[],
    draws: DecisionDraws,
    nowMs: number,
  ): Offer[] {
    const { catalogue, fleet } = this.ports;
    const later = servesLater(excluded, this.path.full);
    const views = viewsOf(
      backends.filter((b) => later.has(b.id)),
      catalogue,
      fleet,
      nowMs,
    ).map((v) => ({ ...v, workersAlive: 1, workersWithRoom: 1, breakerClosed: true }));
    const { able } = ableCandidates(views, this.requirements, (b) => estimate.of(b), policy.maxCostNanos, nowMs);
    const { order } = this.choose(able, policy, quality, draws, nowMs);
    return order.slice(0, MOST_OFFERED).map((weighed) => this.offer(weighed));
  }

  /** A job whose score would be higher on idle own hardware waits for it, as long as its deadline allows. */
  private waiting(
    choice: Choice,
    views: () => readonly BackendView[],
    estimate: RequestEstimate,
    { policy, quality }: AskedBackends,
    nowMs: number,
  ): Refusal | undefined {
    const { jobDeadlineMs } = this.request;
    if (jobDeadlineMs === undefined) return undefined;
    const isOwn = ({ backend }: { backend: WorkBackend }): boolean => backend.kind === 'local';
    const idle = views().map((v) => (isOwn(v) ? { ...v, workersWithRoom: v.workersAlive, overShare: false } : v));
    const all = ableCandidates(idle, this.requirements, (b) => estimate.of(b), policy.maxCostNanos, nowMs);
    const able = all.able.filter(isOwn);
    const now = bestNow(choice.decision);
    const decision = worthWaiting({
      scoreNowUsd: now?.scoreUsd,
      costNowUsd: now?.moneyUsd ?? 0,
      scoreWhenIdleUsd: scoreWhenIdle(able, this.sources(policy, quality, nowMs)),
      deadlineMs: jobDeadlineMs,
      expectedServiceSeconds: Math.max(0, ...able.map((a) => this.latencySeconds(a, nowMs))),
      marginSeconds: JOB_MARGIN_SECONDS,
      nowMs,
    });
    // Where no own hardware is able there is nothing to wait for.
    if (!decision.wait || able.length === 0) return undefined;
    return {
      code: 'job_waiting',
      message: 'It waits for idle own hardware.',
      retryAfterSeconds: Math.max(1, Math.round((decision.recheckAtMs - nowMs) / 1_000)),
    };
  }

  private latencySeconds({ backend, estimate, maxTokens }: Able, nowMs: number): number {
    const outputTokens = Math.min(maxTokens, estimate.outputTokensExpected) * this.requirements.choices;
    const tokens = {
      inputTokens: estimate.inputTokensExpected,
      cacheReadTokens: estimate.cacheReadTokensExpected,
      outputTokens,
    };
    return this.ports.loads.latencySeconds(backend, tokens, nowMs);
  }

  private choose(
    able: readonly Able[],
    policy: RequestPolicy,
    quality: QualityReading,
    draws: DecisionDraws,
    nowMs: number,
  ): Choice {
    return chooseBackend(able, this.sources(policy, quality, nowMs), draws);
  }

  private sources(policy: RequestPolicy, quality: QualityReading, nowMs: number): ChoiceSources {
    const { loads } = this.ports;
    const { attribution, body, deadlineMs, jobDeadlineMs = deadlineMs } = this.request;
    const targetMs = (policy.targetSeconds ?? Infinity) * 1_000;
    return {
      pathOf: this.paths(nowMs),
      loads,
      quality,
      conversions: this.conversions,
      tier: this.tier,
      policy,
      get prefix() {
        return promptPrefix(attribution.org, body);
      },
      deadlineSeconds: Math.min(jobDeadlineMs - nowMs, targetMs - (this.slotWait.waitedMs ?? 0)) / 1_000,
      choices: this.requirements.choices,
      nowMs,
    };
  }

  private reasonFor(
    { policy, choice, hedgeOf }: Decided,
    place: number,
    passedOver: ReadonlyMap<number, PassedOver>,
  ): string {
    const { waitedMs } = this.slotWait;
    const wait = waitedMs === undefined ? '' : `waited ${(waitedMs / 1_000).toFixed(1)} s for a slot; `;
    const hedge = hedgeOf === undefined ? '' : `hedge, for ${this.race!.firstLeg.backend} had shown no token in time; `;
    return (
      wait +
      hedge +
      explain(
        policy.score,
        choice.decision,
        choice.decision.order[place]!,
        this.path.tried.map((t) => t.backend),
        (id) => scarceOn(choice, id),
        (id) => passedOver.get(choice.order.findIndex((w) => w.numbers.id === id)),
      ) +
      loweredText(choice.order[place]!.candidate)
    );
  }

  private offer({ candidate, path: { windows }, numbers }: Weighed): Offer {
    const hold = holdOf(
      candidate,
      windows.map((w) => w.budget.definition),
      {
        streams: this.request.body.stream ?? false,
        choices: this.requirements.choices,
        quantile: this.limits.governedQuantile,
        sliceTokens: this.limits.governedSliceTokens,
      },
    );
    return { candidate, windows, hold, quality: numbers.quality };
  }

  private paths(nowMs: number): (backend: WorkBackend) => BudgetPath {
    const { catalogue } = this.ports;
    const budgetsOf = catalogue.budgetsOf(this.request.attribution);
    return (backend) => catalogue.pathOf(allEnforcedAt(budgetsOf(backend), nowMs));
  }

  private async work(
    offer: Offer,
    grant: ReserveGrant,
    attemptId: string,
    { number, hedgeOf, policy }: Decided,
    reservedAtMs: number,
    expected: AttemptExpectation,
    reason: string,
    place: Place,
  ): Promise<Step> {
    const { request, ports, race } = this;
    const { candidate: chosen, hold } = offer;
    const { choices } = this.requirements;
    const work = workMessage({
      request,
      offer,
      grant,
      attemptId,
      attemptNumber: number,
      hedgeOf,
      mayBeHedged: race !== undefined && hedgeOf === undefined,
      charge: this.tier?.charge && { ...this.tier.charge, claim: this.claim },
      choices,
      reservedAtMs,
      expected,
      earlierAttempts: this.path.tried,
      reason,
    });
    ports.fleet.probing(chosen.backend.id);
    const growing = new GrowingHold(ports, work.terms, hold.bound, choices, request.context);
    this.capLeft.sending(attemptId, chosen, expected.maxTokens);
    const session = ports.workers.dispatch(work, chosen.backend, request.context);
    this.sent++;
    void session.taken.then(() => place.arrived());
    const leg: Leg = { attemptId, backend: chosen.backend.id, stop: (reason) => session.stop(reason) };
    race?.sent(leg);
    const stopRenewing = this.renewUntilStopped(attemptId);
    const goes = (): void => {
      stopRenewing();
      session.go();
      const nowMs = ports.clock.nowMs();
      const { hedging } = policy;
      if (race && hedging)
        race.opened(
          leg,
          nowMs,
          hedgeAfterSeconds(ports.loads, chosen, hedging, { choices, streams: work.stream }, nowMs),
        );
    };
    const handshake = new OpenHandshake(ports, {
      terms: work.terms,
      context: request.context,
      isWanted: () => !request.cancelled.aborted && !race?.isLost(leg),
      taken: session.taken,
      go: goes,
    });
    // While its worker gets ready. What waits for a batch is opened with that (ADR 18). How it fails is seen when the worker asks.
    if (!chosen.backend.batch) handshake.open().catch(() => {});
    let step: Step | undefined;
    try {
      step = await followAttempt({
        leg,
        session,
        handshake,
        growing,
        race,
        fleet: ports.fleet,
        cancelled: request.cancelled,
        path: this.path,
        costNothing: () => this.capLeft.costNothing(attemptId),
        hadTime: request.deadlineMs - reservedAtMs >= firstTokenTimeoutMs(chosen.backend, work.body),
      });
      return step;
    } finally {
      race?.over(
        leg,
        step,
        this.path.tried.find((t) => t.attempt_id === attemptId),
      );
      stopRenewing();
      session.close();
      ports.fleet.ended(chosen.backend.id);
    }
  }

  /** A lease is short, so that a router that dies frees its holds soon; one that waits for a worker renews it. */
  private renewUntilStopped(attemptId: string): () => void {
    const { reservationLeaseMs } = this.limits;
    return this.ports.every(Math.ceil(reservationLeaseMs / RENEWALS_PER_LEASE), () => {
      void this.ports.admission.renew(attemptId, reservationLeaseMs);
    });
  }

  private record(
    { number, policy, ...decided }: Decided,
    chosen: Able | undefined,
    attemptId: string | undefined,
    refusal: Refusal | undefined,
    reason = refusal?.message ?? '',
  ): void {
    const { request, ports, requirements } = this;
    const decidedAtMs = ports.clock.nowMs();
    const epoch = ports.admission.epochId() ?? 0;
    const { waitedMs } = this.slotWait;
    ports.decisions.record(
      () =>
        decisionRecord({
          ...decided,
          request,
          attemptNumber: number,
          attemptId,
          policy: policy.score,
          chosen,
          refusal,
          reason,
          maxTokens: requirements.maxTokens,
          choices: requirements.choices,
          decidedAtMs,
          waitedMs,
          epoch,
        }),
      request.context,
    );
  }
}

/** Everything that a decision was made of, for its record. */
interface Decided {
  route: string;
  number: number;
  /** The attempt beside which this one is to run, as its hedge. */
  hedgeOf: string | undefined;
  policy: RequestPolicy;
  quality: QualityReading;
  draws: DecisionDraws;
  choice: Choice;
  excluded: readonly Excluded[];
  /** By place in the order of the choice. */
  passedOver?: ReadonlyMap<number, PassedOver>;
}

type AskedRoute = AskedBackends & { id: string };

interface AskedBackends {
  backends: WorkBackend[];
  /** With those that the policy does not allow. */
  all: WorkBackend[];
  policy: RequestPolicy;
  quality: QualityReading;
}

function notServing({ all, policy }: AskedBackends): Excluded[] {
  return all.flatMap((backend) => {
    const why = notAllowed(policy, backend);
    return why === undefined ? [] : [{ backend, code: 'not-allowed' as const, why }];
  });
}

/** Between the last start of a job that waits and its deadline, beside its expected time: for what is not expected. */
const JOB_MARGIN_SECONDS = 30;
/** Candidates that one reservation is asked for; the others are further down than any request needs. */
const MOST_OFFERED = 16;

type WorkBackend = Able['backend'];
