import type { EnforcedWindow, ReserveCandidate } from '@meritorder/budget-core';
import type { DecisionDraws, MeritorderConfig, PriceVersion, TierConfig, Usage } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { leastUsd } from '@meritorder/pacing-core';
import { rate, type CatalogueEntry } from '@meritorder/pricing-core';
import {
  ableCandidates,
  asGoodAs,
  decide,
  holdOf,
  type Decision,
  type RequestPolicy,
  type Requirements,
} from '@meritorder/routing-core';
import type { SimulatedBackend } from '../fleet/simulated-backend.js';
import type { Work } from '../fleet/station.js';
import { ArrivalsForecast } from '../money/arrivals-forecast.js';
import { Pacing, type ExpectedUsd } from '../money/pacing.js';
import { SimulatedBudgets } from '../money/simulated-budgets.js';
import type { RecordedRequest, Workload } from '../workload/workload.js';
import { unlearnedConversion, withRevenueThen, type Conversion } from './conversions.js';
import { asExpected, estimateFor, LearnedOutput } from './learned-output.js';
import { budgetRefusal, exclusionRefusal } from './refusal-codes.js';
import { Scenario, type Prepared, type ScenarioSettings } from './scenario.js';
import { Tally, type PolicyOutcome } from './tally.js';
import { usageOfBooked, usageOfTokens } from './usage.js';
import { laneOf, weigh, withReplicas, withRoom, worthOf, type Weighed } from './weigh.js';

export interface SimulationSettings extends ScenarioSettings {
  /** Of draws between replicas and for exploration; the same requests draw the same whatever the policy. */
  seed: number;
  /** The largest input that a request of so many tokens may have, as a factor on them: what holds rest on. */
  inputBoundFactor?: number | undefined;
  /** Called with every decision, for who wants to see them; default: nobody. */
  onDecision?: (index: number, candidates: readonly Weighed[], draws: DecisionDraws, decision: Decision) => void;
}

/**
 * UTF-8 bytes per token, the sound bound of an input whose tokens are not counted: 3.97 over 202 kB of this project's prose and code
 * (o200k_base). Where a tokenizer counts exactly it is 1.
 */
export const DEFAULT_INPUT_BOUND_FACTOR = 4;
const MOST_OFFERED = 16;

interface InFlight {
  cameMs: number;
  deadlineSeconds: number;
  backend: SimulatedBackend;
  price: PriceVersion;
  windows: EnforcedWindow[];
  usage: Usage;
  work: Work;
  expected: ExpectedUsd;
  tier: TierConfig | undefined;
  output: LearnedOutput;
  choices: number;
  /** Of one choice, before any budget clamped it. */
  maxTokens: number;
}

type Ready = Extract<Prepared, { refusal: undefined }> & { output: LearnedOutput };

/**
 * A workload through the policy of one configuration, on a virtual clock: the same functions filter, score, choose, hold and rate
 * as in the services, with budgets on the model of their counters and own hardware as replicas that their requests share. Pure:
 * the same configuration, workload and seed give the same outcome.
 *
 * @param catalogueOf what a price catalogue says of a model, for backends that name no price
 * @throws PriceConfigError where a backend's prices cannot be read
 */
export function simulate(
  config: MeritorderConfig,
  workload: Workload,
  settings: SimulationSettings,
  catalogueOf: (name: string) => readonly CatalogueEntry[],
): PolicyOutcome {
  const run = new Run(config, workload, settings, catalogueOf);
  for (let i = 0; i < workload.atMs.length; i++) run.arrive(i);
  return run.end();
}

class Run {
  private readonly budgets: SimulatedBudgets;
  private readonly scenario: Scenario;
  private readonly pacing: Pacing;
  private readonly tally: Tally;
  private readonly random: () => number;
  private readonly profiles: (Ready | string)[];
  private readonly backends: SimulatedBackend[];
  private readonly inFlight = new Map<number, InFlight>();
  private readonly boundFactor: number;

  constructor(
    private readonly config: MeritorderConfig,
    private readonly workload: Workload,
    private readonly settings: SimulationSettings,
    catalogueOf: (name: string) => readonly CatalogueEntry[],
  ) {
    const { atMs, profiles } = workload;
    const period = { fromMs: atMs[0]!, toMs: atMs[atMs.length - 1]! };
    this.budgets = new SimulatedBudgets(config, period.fromMs, workload.books?.opening);
    this.scenario = new Scenario(config, settings, this.budgets, catalogueOf, period, workload.books?.prices ?? []);
    this.pacing = new Pacing(new ArrivalsForecast(atMs), (of) => this.budgets.window(of));
    this.backends = this.scenario.allBackends();
    this.tally = new Tally(
      atMs.length,
      config.tiers.some((t) => t.charge !== undefined),
    );
    this.random = seededRandom(settings.seed);
    this.boundFactor = settings.inputBoundFactor ?? DEFAULT_INPUT_BOUND_FACTOR;
    this.profiles = profiles.map((profile) => {
      const prepared = this.scenario.prepare(profile);
      return prepared.refusal === undefined
        ? { ...prepared, output: new LearnedOutput(prepared.lengths) }
        : prepared.refusal;
    });
  }

  arrive(index: number): void {
    const { workload } = this;
    const nowMs = workload.atMs[index]!;
    this.finishUntil(nowMs);
    this.pacing.arrived(nowMs);
    const prepared = this.profiles[workload.profile[index]!]!;
    // Drawn for every request, so that one policy's refusals do not shift the draws of another's.
    const draws = { holdOut: this.random(), explore: this.random(), replica: this.random() };
    if (typeof prepared === 'string') return this.tally.refuse(prepared);
    const recorded = workload.recorded?.[index];
    if (prepared.holdOut !== undefined) draws.holdOut = prepared.holdOut;
    this.dispatch(index, prepared, recorded, recorded?.draws ?? draws, nowMs);
  }

  private dispatch(
    index: number,
    prepared: Ready,
    recorded: RecordedRequest | undefined,
    draws: DecisionDraws,
    nowMs: number,
  ): void {
    const { tier } = prepared;
    const policy = this.policyOf(prepared, recorded);
    const requirements = recorded ? asRecorded(prepared.requirements, recorded) : prepared.requirements;
    const lanes =
      recorded && recorded.unable.size > 0
        ? prepared.lanes.filter((lane) => !recorded.unable.has(lane.backend.config.id))
        : prepared.lanes;
    const inputTokens = this.workload.inputTokens[index]!;
    const estimate = estimateFor(prepared.output, recorded, inputTokens, this.boundFactor);
    for (const { backend, view } of lanes) {
      const { price, others } = backend.prices.inForce(nowMs);
      view.price = price;
      view.otherPrices = others;
      view.workersWithRoom = backend.hasRoom(policy.slotsLeftFree) ? 1 : 0;
    }
    const { able, excluded } = ableCandidates(
      lanes.map((l) => l.view),
      requirements,
      recorded ? (backend) => asExpected(estimate, recorded, backend.id) : () => estimate,
      policy.maxCostNanos,
      nowMs,
    );
    const weighing = {
      policy,
      tier,
      pacing: this.pacing,
      choices: requirements.choices,
      deadlineSeconds: this.deadlineSeconds(policy, recorded),
      unlearned: policy.score.objective === 'margin' ? unlearnedOf(recorded) : undefined,
    };
    const weighed = able.map((candidate) => {
      const lane = laneOf(lanes, candidate.backend.id);
      const windows = this.budgets.windowsOf(lane.budgets, nowMs);
      return weigh(candidate, lane, windows, recorded?.candidates.get(candidate.backend.id), weighing);
    });
    const least = leastUsd(weighed.map((w) => w.numbers));
    withRoom(weighed, least, this.pacing);
    withReplicas(weighed, policy.score);
    const decision = decide(
      policy.score,
      weighed.map((w) => w.numbers),
      draws,
    );
    this.settings.onDecision?.(index, weighed, draws, decision);
    if (decision.order.length === 0) {
      const codes = [
        ...excluded.map((e) => e.code),
        ...decision.refused.map(({ code }) => (code === 'too-slow' ? code : 'below-floor')),
      ];
      return this.tally.refuse(exclusionRefusal(codes));
    }
    this.reserve(index, { ...prepared, policy }, weighed, least, decision, nowMs);
  }

  /** With the revenue of then. A substitute is held to the quality that is expected of the backend which is named. */
  private policyOf({ policy: configured, named, lanes }: Ready, recorded: RecordedRequest | undefined): RequestPolicy {
    const policy = withRevenueThen(configured, recorded);
    if (named === undefined) return policy;
    const lane = lanes.find(({ backend }) => backend.config.id === named);
    const known = lane?.qualityFromTable ? undefined : recorded?.candidates.get(named)?.quality;
    const quality = known ?? lane?.quality ?? this.scenario.priorQualityOf(named);
    return asGoodAs(policy, quality);
  }

  private reserve(
    index: number,
    prepared: Ready,
    weighed: readonly Weighed[],
    least: ExpectedUsd,
    decision: Decision,
    nowMs: number,
  ): void {
    const offered = decision.order
      .slice(0, MOST_OFFERED)
      .map(({ candidate }) => weighed.find((of) => of.numbers === candidate)!);
    const reply = this.budgets.reserve(
      String(index),
      offered.map((w) => ({
        local: w.lane.backend.local,
        windows: w.windows,
        candidate: () => this.candidateOf(w),
      })),
      prepared.orgRate,
      nowMs,
    );
    if (!('maxTokens' in reply)) {
      this.pacing.asked(offered[0]!.windows, undefined, least, nowMs);
      return this.tally.refuse(budgetRefusal(reply));
    }
    const chosen = offered[reply.candidateIndex]!;
    const expected = { cash: chosen.numbers.cashUsd, full: chosen.numbers.fullUsd };
    this.pacing.asked(chosen.windows, expected, least, nowMs);
    const scored = decision.order[reply.candidateIndex]!;
    const wanted = Math.min(this.workload.outputTokens[index]!, chosen.able.maxTokens * chosen.choices);
    const outputTokens = Math.min(wanted, reply.maxTokens * chosen.choices);
    this.tally.dispatch({
      backend: chosen.numbers.id,
      local: chosen.lane.backend.local,
      quality: chosen.numbers.quality,
      valueUsd: worthOf(prepared.policy.score, scored.candidate),
      pricedOtherwise: this.isPricedOtherwise(chosen, index),
      conversionUnlearned: prepared.policy.score.objective === 'margin' && !chosen.conversionOnRecord,
      clamped: reply.maxTokens < chosen.able.maxTokens,
      cut: outputTokens < wanted,
    });
    this.start(index, prepared, chosen, expected, outputTokens, nowMs);
  }

  /** By another version than it was decided by, where that is on record and the books say which there were. */
  private isPricedOtherwise({ able, numbers }: Weighed, index: number): boolean {
    const { recorded, books } = this.workload;
    const then = books && recorded?.[index]?.candidates.get(numbers.id)?.priceVersion;
    return then !== undefined && then !== able.price.id;
  }

  private start(
    index: number,
    { tier, output, policy }: Ready,
    { able, lane: { backend }, windows, work, choices }: Weighed,
    expected: ExpectedUsd,
    outputTokens: number,
    nowMs: number,
  ): void {
    const inputTokens = this.workload.inputTokens[index]!;
    const booked = this.workload.recorded?.[index]?.booked;
    const usage = booked
      ? usageOfBooked(booked, backend.config, outputTokens)
      : usageOfTokens(inputTokens, able.estimate.cacheReadTokensExpected, outputTokens);
    const done = { inputTokens: work.inputTokens, outputTokens };
    this.inFlight.set(index, {
      cameMs: nowMs,
      deadlineSeconds: this.deadlineSeconds(policy, this.workload.recorded?.[index]),
      backend,
      price: able.price,
      windows,
      usage,
      work: done,
      expected,
      tier,
      output,
      choices,
      maxTokens: able.maxTokens,
    });
    backend.station.enter(index, done, nowMs);
  }

  private finishUntil(untilMs: number): void {
    for (;;) {
      let next: SimulatedBackend | undefined;
      let nextMs = untilMs;
      for (const backend of this.backends) {
        const endMs = backend.station.nextEndMs;
        if (endMs < nextMs || (endMs === nextMs && !next && endMs < Infinity)) [next, nextMs] = [backend, endMs];
      }
      if (!next) return;
      this.finish(next.station.finish(), nextMs);
    }
  }

  private finish(index: number, nowMs: number): void {
    const attempt = this.inFlight.get(index)!;
    this.inFlight.delete(index);
    const { cashNanos, fullNanos } = rate(attempt.price, attempt.usage, {
      atMs: nowMs,
      ...(attempt.backend.config.batch ? { tier: 'batch' } : {}),
    });
    this.budgets.settle(String(index), cashNanos, fullNanos, nowMs);
    const actual = { cash: Number(cashNanos) / 1e9, full: Number(fullNanos) / 1e9 };
    this.pacing.settled(attempt.windows, attempt.expected, actual);
    attempt.backend.learn(attempt.work);
    // Of several choices only the sum is known: each counts as their mean, as in the routers.
    attempt.output.learn(Math.ceil(attempt.usage.outputTokens / attempt.choices), attempt.maxTokens);
    const seconds = (nowMs - attempt.cameMs) / 1_000;
    const late = seconds > attempt.deadlineSeconds;
    this.tally.settle(cashNanos, fullNanos, attempt.tier, seconds, late);
  }

  /** When a router would break off the call: the caller's deadline is within that of requests. Of a job in a batch that of the job. */
  private deadlineSeconds({ score }: RequestPolicy, recorded: RecordedRequest | undefined): number {
    if (recorded?.batchWithinMs !== undefined) return recorded.batchWithinMs / 1_000;
    return score.deadlineSeconds ?? this.config.limits.requestDeadlineMs / 1_000;
  }

  end(): PolicyOutcome {
    this.finishUntil(Infinity);
    return this.tally.outcome(this.budgets.outcomes(this.pacing.changes()));
  }

  /** Holds that grow with a stream are not gone through: all cover the upper bound. */
  private candidateOf({ able, windows, lane, work, choices }: Weighed): ReserveCandidate {
    const { governedQuantile, governedSliceTokens } = this.config.limits;
    const { bound, maxTokens, minTokens } = holdOf(
      able,
      windows.map((w) => w.budget.definition),
      { streams: false, choices, quantile: governedQuantile, sliceTokens: governedSliceTokens },
    );
    return {
      backend: able.backend.id,
      maxTokens,
      minTokens,
      cash: bound.cash,
      full: bound.full,
      windows: windows.map((w) => w.asked),
      local: lane.backend.local,
      // What providers allow in batches does not count against what they allow at once.
      accountRate: lane.backend.config.batch
        ? undefined
        : this.accountRateOf(able.backend.provider, able.estimate.inputTokensExpected + work.outputTokens),
    };
  }

  private accountRateOf(provider: string, tokens: number) {
    const { requestsPerMinute, tokensPerMinute } = this.scenario.accountOf(provider) ?? {};
    if (requestsPerMinute === undefined && tokensPerMinute === undefined) return undefined;
    return { account: provider, requestsPerMinute, tokensPerMinute, tokens: Math.ceil(tokens) };
  }
}

/** Without a record nothing is explored for the sake of learning, as of quality. */
function unlearnedOf(recorded: RecordedRequest | undefined): Conversion {
  const unlearned = unlearnedConversion(recorded);
  return recorded === undefined ? { ...unlearned, conversionVariance: 0 } : unlearned;
}

/** What the record says of the request; of what it asked for beside that, `unable` is what is left. */
function asRecorded(
  requirements: Requirements,
  { kind, maxTokens, choices, batchWithinMs }: RecordedRequest,
): Requirements {
  return { ...requirements, kind, choices, batchWithinMs, ...(maxTokens === undefined ? {} : { maxTokens }) };
}
