import type { BackendConfig, BudgetPolicy, DecisionDraws, TierConfig } from '@meritorder/contracts';
import type { EnforcedWindow } from '@meritorder/budget-core';
import { chooseReplica } from '@meritorder/fleet-core';
import { pathPrice } from '@meritorder/pacing-core';
import { boundNanos } from '@meritorder/pricing-core';
import {
  chargedUsd,
  decide,
  scoreCandidates,
  type Able,
  type Decision,
  type Excluded,
  type RequestPolicy,
  type ScoreCandidate,
} from '@meritorder/routing-core';
import type { ConversionReading, ExpectedTokens, Loads, QualityReading } from './ports.js';

/** What a choice reads, all of it in memory. */
export interface ChoiceSources {
  windowsOf(backend: BackendConfig): EnforcedWindow[];
  policyOf(budget: string, window: string): BudgetPolicy | undefined;
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

/** A candidate with its numbers and the windows that it would be charged to. */
export interface Weighed {
  candidate: Able;
  windows: EnforcedWindow[];
  /** By window: what a dollar of it is worth. */
  shadowPrices: number[];
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
  const weighed = able.map((candidate) => weigh(candidate, sources));
  withRoom(weighed, sources);
  withReplicas(weighed, sources);
  const byId = new Map(weighed.map((w) => [w.numbers.id, w]));
  const decision = decide(
    sources.policy.score,
    weighed.map((w) => w.numbers),
    draws,
  );
  return {
    order: decision.order.map((s) => byId.get(s.candidate.id)!),
    weighed,
    belowFloor: decision.refused.map(({ candidate, code }) => ({
      backend: byId.get(candidate.id)!.candidate.backend,
      code: 'below-floor',
      why: whyBelow(candidate, code, sources),
    })),
    decision,
  };
}

/** The best score of own hardware as if it were idle, USD; undefined: none of these may take it. */
export function scoreWhenIdle(able: readonly Able[], sources: ChoiceSources): number | undefined {
  const idle = able.map((candidate) => ({
    ...weigh(candidate, sources).numbers,
    usdPerGpuSecond: 0,
    lateSeconds: 0,
  }));
  return scoreCandidates(sources.policy.score, idle).scored[0]?.scoreUsd;
}

function weigh(candidate: Able, sources: ChoiceSources): Weighed {
  const { backend } = candidate;
  const { policy, quality, conversions, loads } = sources;
  const expected = quality.of(backend);
  const windows = sources.windowsOf(backend);
  const shadowPrices = windows.map((w) => sources.policyOf(w.charge.budget, w.charge.window)?.shadowPrice ?? 0);
  const path = pathPrice(windows.map((w, i) => ({ basis: w.charge.basis, lambda: shadowPrices[i]! })));
  const { expectedCashUsd: cashUsd, expectedFullUsd: fullUsd } = candidate;
  const charged = chargedUsd(sources.tier, fullUsd);
  const targetSeconds = Math.min(policy.targetSeconds ?? Infinity, sources.deadlineSeconds);
  return {
    candidate,
    windows,
    shadowPrices,
    numbers: {
      id: backend.id,
      ...expected,
      ...conversions?.of(backend, expected.quality),
      marginalUsd: candidate.expectedMarginalUsd,
      cashUsd,
      fullUsd,
      ...(charged === undefined ? {} : { chargedUsd: charged }),
      shadowCash: path.cash,
      shadowFull: path.full,
      ...loads.numbers(
        backend,
        tokensOf(candidate, sources.choices),
        { targetSeconds, usdPerSecondLate: policy.score.usdPerSecondLate },
        sources.nowMs,
      ),
    },
  };
}

function tokensOf({ estimate, maxTokens }: Able, choices: number): ExpectedTokens {
  return {
    inputTokens: estimate.inputTokensExpected,
    cacheReadTokens: estimate.cacheReadTokensExpected,
    outputTokens: Math.min(maxTokens, estimate.outputTokensExpected) * choices,
  };
}

/** A bound beyond what a budget can spare stands behind, but for the cheapest: for that one the rest is kept. */
function withRoom(weighed: readonly Weighed[], { policyOf }: ChoiceSources): void {
  let cheapest: Weighed | undefined;
  for (const w of weighed) if (cheapest === undefined || w.numbers.cashUsd < cheapest.numbers.cashUsd) cheapest = w;
  for (const w of weighed) {
    if (w === cheapest) continue;
    const beyond = w.windows.some(({ charge }) => {
      const room = policyOf(charge.budget, charge.window)?.spareRoomNanos;
      return room !== undefined && boundNanos(w.candidate.bound[charge.basis], w.candidate.maxTokens) > BigInt(room);
    });
    if (beyond) w.numbers = { ...w.numbers, beyondRoom: true };
  }
}

/** Own backends of one model are replicas: one of them is asked, by warm prefix or by two choices. */
function withReplicas(weighed: readonly Weighed[], { loads, prefix, choices, nowMs }: ChoiceSources): void {
  const groups = new Map<string, Weighed[]>();
  for (const w of weighed) {
    const { kind, provider, model } = w.candidate.backend;
    if (kind !== 'local') continue;
    const name = `${provider}/${model}`;
    groups.set(name, [...(groups.get(name) ?? []), w]);
  }
  for (const [name, group] of groups) {
    if (group.length < 2) continue;
    const { probabilities } = chooseReplica(
      group.map(({ candidate, candidate: { backend }, numbers }) => ({
        id: backend.id,
        ...loads.load(backend, nowMs),
        predictedSeconds: numbers.latencySeconds ?? loads.latencySeconds(backend, tokensOf(candidate, choices), nowMs),
      })),
      prefix,
      [0, 0],
    );
    group.forEach((w, i) => {
      w.numbers = { ...w.numbers, replicaOf: name.slice(0, 256), replicaChance: probabilities[i]! };
    });
  }
}

function whyBelow(
  candidate: ScoreCandidate,
  code: Decision['refused'][number]['code'],
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
