import type { BackendConfig, DecisionDraws, TierConfig } from '@meritorder/contracts';
import { chooseReplica, RECHECK_SECONDS, USD_PER_SECOND_WAITED, type Replica } from '@meritorder/fleet-core';
import { isBeyondRoom, leastUsd } from '@meritorder/pacing-core';
import {
  chargeOf,
  decide,
  scoreCandidates,
  servingUsd,
  type Able,
  type Decision,
  type Excluded,
  type MeasuredTimes,
  type RequestPolicy,
  type ScarceBudget,
  type ScoreCandidate,
  type Scored,
} from '@meritorder/routing-core';
import { scarceOwn, type BudgetPath } from './budget-path.js';
import type { ConversionReading, ExpectedTokens, Loads, QualityReading } from './ports.js';

/** What a choice reads, all of it in memory. */
export interface ChoiceSources {
  /** The budgets that a request at this backend would be charged to. */
  pathOf(backend: BackendConfig): BudgetPath;
  loads: Loads;
  quality: QualityReading;
  /** Where the objective counts conversions. */
  conversions: ConversionReading | undefined;
  tier: TierConfig | undefined;
  policy: RequestPolicy;
  /** Of the prompt, for replicas that may have it warm. */
  prefix: string;
  /** Until the request must be answered, seconds. */
  deadlineSeconds: number;
  choices: number;
  nowMs: number;
}

/** A candidate with its numbers and the budgets that it would be charged to. */
export interface Weighed {
  candidate: Able;
  path: BudgetPath;
  numbers: ScoreCandidate;
}

export interface Choice {
  /** As the decision orders them. */
  order: Weighed[];
  /** All, in the order given: what the record holds. */
  weighed: Weighed[];
  belowFloor: Excluded[];
  decision: Decision;
}

/** Weighs able candidates by what is known in memory, and decides. */
export function chooseBackend(able: readonly Able[], sources: ChoiceSources, draws: DecisionDraws): Choice {
  const weighed = weighAll(able, sources);
  withRoom(weighed);
  withReplicas(weighed, sources);
  const decision = decide(
    sources.policy.score,
    weighed.map((w) => w.numbers),
    draws,
  );
  return {
    order: decision.order.map((s) => weighed[s.place]!),
    weighed,
    belowFloor: decision.refused.map(({ candidate, place, code }) => ({
      backend: weighed[place]!.candidate.backend,
      ...(code === 'too-slow'
        ? tooSlow(weighed[place]!.candidate.backend, candidate, sources)
        : { code: 'below-floor', why: whyBelow(candidate, code, sources) }),
    })),
    decision,
  };
}

/** The budgets of its own with a shadow price on the path of a candidate: no org is told one of those that span orgs. */
export function scarceOn({ weighed }: Choice, id: string): ScarceBudget[] {
  const of = weighed.find((w) => w.numbers.id === id);
  return of ? scarceOwn(of.path) : [];
}

/**
 * Who could have it now at the best score: another than the first where that is tried to learn of it, or spares a replica. What has
 * the score of idle hardware is no reason to wait for any.
 */
export function bestNow({ order }: Decision): Scored | undefined {
  const fitting = order.filter((s) => !s.candidate.beyondRoom);
  return (fitting.length > 0 ? fitting : order).reduce<Scored | undefined>(
    (best, s) => (best === undefined || s.scoreUsd > best.scoreUsd ? s : best),
    undefined,
  );
}

/** The best score of own hardware if it were idle when a job is looked at again, USD; undefined: none of these may take it. */
export function scoreWhenIdle(able: readonly Able[], sources: ChoiceSources): number | undefined {
  const idle = weighAll(able, sources, RECHECK_SECONDS).map(({ numbers }) => ({
    ...numbers,
    measuredSeconds: undefined,
    measuredFirstTokenSeconds: undefined,
  }));
  return scoreCandidates(sources.policy.score, idle).scored[0]?.scoreUsd;
}

/** What is asked of a backend's load. */
function wishOf({ policy, deadlineSeconds }: ChoiceSources): Parameters<Loads['numbers']>[2] {
  return {
    targetSeconds: Math.min(policy.targetSeconds ?? Infinity, deadlineSeconds),
    usdPerSecondLate: policy.score.usdPerSecondLate,
    deadlineSeconds: policy.score.deadlineSeconds,
    maxLatencySeconds: policy.score.maxLatencySeconds,
    maxFirstTokenSeconds: policy.score.maxFirstTokenSeconds,
  };
}

/** @param idleInSeconds started so much later, on hardware that is idle then; undefined: now, as it is */
function weighAll(able: readonly Able[], sources: ChoiceSources, idleInSeconds?: number): Weighed[] {
  const { quality, conversions, loads, tier, choices, nowMs } = sources;
  const wish = wishOf(sources);
  wish.targetSeconds -= idleInSeconds ?? 0;
  const charged = chargeOf(tier);
  return able.map((candidate) => {
    const { backend, expectedFullUsd: fullUsd } = candidate;
    const path = sources.pathOf(backend);
    const expected = quality.of(backend);
    const converts = conversions?.of(backend, expected);
    const load = loads.numbers(backend, tokensOf(candidate, choices), wish, nowMs, idleInSeconds !== undefined);
    // One shape for all, whatever is known: a decision makes one for every backend.
    const numbers: ScoreCandidate = {
      id: backend.id,
      quality: expected.quality,
      qualityVariance: expected.qualityVariance,
      priorQuality: expected.priorQuality,
      outcomes: expected.outcomes,
      conversion: converts?.conversion,
      conversionVariance: converts?.conversionVariance,
      conversionKnown: converts?.conversionKnown,
      priorConversion: converts?.priorConversion,
      marginalUsd: candidate.expectedMarginalUsd,
      cashUsd: candidate.expectedCashUsd,
      fullUsd,
      chargedUsd: charged?.(fullUsd),
      shadowCash: path.price.cash,
      shadowFull: path.price.full,
      gpuSeconds: load.gpuSeconds,
      usdPerGpuSecond: load.usdPerGpuSecond,
      lateSeconds: load.lateSeconds,
      latencySeconds: load.latencySeconds,
      inTimeChance: load.inTimeChance,
      measuredSeconds: load.measuredSeconds,
      measuredFirstTokenSeconds: load.measuredFirstTokenSeconds,
      beyondRoom: undefined,
      replicaOf: undefined,
      replicaChance: undefined,
      replicaBy: undefined,
    };
    return { candidate, path, numbers };
  });
}

export function tokensOf({ estimate, maxTokens, comparedTokens }: Able, choices: number): ExpectedTokens {
  return {
    inputTokens: estimate.inputTokensExpected,
    cacheReadTokens: estimate.cacheReadTokensExpected,
    outputTokens: (comparedTokens ?? Math.min(maxTokens, estimate.outputTokensExpected)) * choices,
  };
}

/** What stands behind because its bound is more than a budget on its path can spare. */
function withRoom(weighed: readonly Weighed[]): void {
  const least = leastUsd(weighed.map((w) => w.numbers));
  for (const { candidate, numbers, path } of weighed) {
    const { spareCash, spareFull } = path;
    if (spareCash === undefined && spareFull === undefined) continue;
    const beyond = isBeyondRoom(numbers, least, (basis) => {
      const spare = basis === 'cash' ? spareCash : spareFull;
      return spare !== undefined && candidate.boundExceeds(basis, spare);
    });
    if (beyond) numbers.beyondRoom = true;
  }
}

/** Own backends of one model are replicas: one of them is asked, by warm prefix or by two choices. */
function withReplicas(weighed: readonly Weighed[], sources: ChoiceSources): void {
  let groups: Map<string, Weighed[]> | undefined;
  for (const w of weighed) {
    const { kind, provider, model } = w.candidate.backend;
    if (kind !== 'local') continue;
    groups ??= new Map();
    const name = `${provider}/${model}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [w]);
    else group.push(w);
  }
  if (groups === undefined) return;
  let prefix: string | undefined;
  for (const [name, group] of groups) {
    if (group.length < 2) continue;
    prefix ??= sources.prefix;
    const replicas = group.map((w) => new AskedReplica(w, sources));
    const { probabilities, why } = chooseReplica(replicas, prefix, [0, 0]);
    group.forEach(({ numbers }, i) => {
      numbers.replicaOf = name.slice(0, 256);
      numbers.replicaChance = probabilities[i]!;
      numbers.replicaBy = why;
    });
  }
}

class AskedReplica implements Replica {
  readonly id: string;
  readonly inFlight: number;
  readonly capacity: number;
  readonly waiting: number;
  readonly kvCacheUse: number;
  readonly predictedSeconds: number;
  readonly costUsd: number;
  readonly idleCostUsd: number;

  constructor(
    private readonly weighed: Weighed,
    private readonly sources: ChoiceSources,
  ) {
    const { backend } = weighed.candidate;
    const { loads, choices, nowMs, policy } = sources;
    const load = loads.load(backend, nowMs);
    this.id = backend.id;
    this.inFlight = load.inFlight;
    this.capacity = load.capacity;
    this.waiting = load.waitingInEngine;
    this.kvCacheUse = load.kvCacheShare;
    const { numbers } = weighed;
    const tokens = tokensOf(weighed.candidate, choices);
    this.predictedSeconds = numbers.latencySeconds ?? loads.latencySeconds(backend, tokens, nowMs);
    this.costUsd = servingUsd(policy.score, numbers, this.predictedSeconds, USD_PER_SECOND_WAITED);
    this.idleCostUsd = this.idleUsd(tokens);
  }

  /** Only asked for of a home that others are better than. */
  get warmUsd(): number {
    const tokens = tokensOf(this.weighed.candidate, this.sources.choices);
    return this.idleCostUsd - this.idleUsd({ ...tokens, cacheReadTokens: tokens.inputTokens });
  }

  private idleUsd(tokens: ExpectedTokens): number {
    const { loads, nowMs, policy } = this.sources;
    const { numbers, candidate } = this.weighed;
    const idle = loads.numbers(candidate.backend, tokens, wishOf(this.sources), nowMs, true);
    const seconds = idle.latencySeconds ?? loads.latencySeconds(candidate.backend, tokens, nowMs, true);
    // Own hardware costs by what it works.
    const share = numbers.gpuSeconds > 0 ? idle.gpuSeconds / numbers.gpuSeconds : 1;
    const then = { ...numbers, ...idle, marginalUsd: share * numbers.marginalUsd };
    return servingUsd(policy.score, then, seconds, USD_PER_SECOND_WAITED);
  }
}

/** Why it is above the ceiling of latency, and when to ask again. */
export function tooSlow(
  backend: BackendConfig,
  { measuredSeconds = 0, measuredFirstTokenSeconds = 0 }: MeasuredTimes,
  { loads, policy, nowMs }: Pick<ChoiceSources, 'loads' | 'policy' | 'nowMs'>,
): Pick<Excluded, 'why' | 'retryAfterSeconds'> & { code: 'too-slow' } {
  const { maxLatencySeconds = Infinity, maxFirstTokenSeconds = Infinity } = policy.score;
  const [does, seconds, most] =
    measuredSeconds > maxLatencySeconds
      ? ['answer in', measuredSeconds, maxLatencySeconds]
      : ['say its first token after', measuredFirstTokenSeconds, maxFirstTokenSeconds];
  return {
    code: 'too-slow',
    why: `is expected to ${does} ${seconds.toPrecision(3)} s, above the ceiling of ${most} s`,
    retryAfterSeconds: loads.askAgainInSeconds(backend, seconds - most, nowMs),
  };
}

function whyBelow(
  candidate: ScoreCandidate,
  code: Exclude<Decision['refused'][number]['code'], 'too-slow'>,
  { policy: { score } }: ChoiceSources,
): string {
  switch (code) {
    case 'below-quality':
      return `expected quality ${candidate.quality.toFixed(2)} is below the floor of ${score.leastQuality}`;
    case 'above-cost':
      return `expected cost $${candidate.cashUsd.toFixed(6)} is above the cap of $${score.maxCostUsd ?? 0}`;
    case 'below-margin':
      return `charged $${(candidate.chargedUsd ?? 0).toFixed(6)} for a full cost of $${candidate.fullUsd.toFixed(6)}, below the margin floor of ${score.leastMarginShare ?? 0}`;
  }
}
