import type { EnforcedWindow } from '@meritorder/budget-core';
import { chooseReplica } from '@meritorder/fleet-core';
import { isBeyondRoom, pathPrice } from '@meritorder/pacing-core';
import { boundNanos } from '@meritorder/pricing-core';
import { chargedUsd, type Able, type RequestPolicy, type ScoreCandidate } from '@meritorder/routing-core';
import type { DecisionPolicy, TierConfig } from '@meritorder/contracts';
import type { LoadWish } from '../fleet/simulated-backend.js';
import type { Work } from '../fleet/station.js';
import type { ExpectedUsd, Pacing } from '../money/pacing.js';
import type { RecordedCandidate } from '../workload/workload.js';
import type { Conversion } from './conversions.js';
import type { Lane } from './scenario.js';

/** A candidate with its numbers, as the score takes them. */
export interface Weighed {
  able: Able;
  lane: Lane;
  windows: EnforcedWindow[];
  /** Of all choices together. */
  work: Work;
  wish: LoadWish;
  choices: number;
  /** Whether its conversions are those that the record knew. */
  conversionOnRecord: boolean;
  numbers: ScoreCandidate;
}

export interface Weighing {
  policy: RequestPolicy;
  tier: TierConfig | undefined;
  pacing: Pacing;
  choices: number;
  /** Until the request must be answered. */
  deadlineSeconds: number;
  /** Under `margin`: of backends whose conversions are not on record. */
  unlearned: Conversion | undefined;
}

/** The numbers of one candidate: the same terms from the same functions as in a router. */
export function weigh(
  able: Able,
  lane: Lane,
  windows: EnforcedWindow[],
  recorded: RecordedCandidate | undefined,
  { policy, tier, pacing, choices, deadlineSeconds, unlearned }: Weighing,
): Weighed {
  const { backend } = lane;
  const path = pathPrice(windows.map((w) => ({ basis: w.charge.basis, lambda: pacing.shadowPrice(w) })));
  const charged = chargedUsd(tier, able.expectedFullUsd);
  const work = workOf(able, choices);
  const wish = {
    targetSeconds: Math.min(policy.targetSeconds ?? Infinity, deadlineSeconds),
    usdPerSecondLate: policy.score.usdPerSecondLate,
    deadlineSeconds: policy.score.deadlineSeconds,
    maxLatencySeconds: policy.score.maxLatencySeconds,
    maxFirstTokenSeconds: policy.score.maxFirstTokenSeconds,
  };
  return {
    able,
    lane,
    windows,
    work,
    wish,
    choices,
    conversionOnRecord: recorded?.conversion !== undefined,
    numbers: {
      id: backend.config.id,
      ...(unlearned && recorded?.conversion === undefined ? unlearned : {}),
      ...qualityOf(lane, recorded),
      marginalUsd: able.expectedMarginalUsd,
      cashUsd: able.expectedCashUsd,
      fullUsd: able.expectedFullUsd,
      ...(charged === undefined ? {} : { chargedUsd: charged }),
      shadowCash: path.cash,
      shadowFull: path.full,
      ...backend.numbers(work, wish),
    },
  };
}

/**
 * Quality as the table has it, else the record, else as it is configured; conversions as the record has them. What is in a table
 * or configured is taken to be known: nothing is learned here, so that exploring for the sake of learning would only cost.
 */
function qualityOf(
  { quality, qualityFromTable, backend }: Lane,
  recorded: RecordedCandidate | undefined,
): Omit<RecordedCandidate, 'cacheReadTokens' | 'priceVersion' | 'inputTokensExpected' | 'outputTokensExpected'> {
  const known = { quality, qualityVariance: 0, priorQuality: backend.priorQuality, outcomes: 0 };
  if (recorded === undefined) return known;
  const {
    cacheReadTokens: _read,
    priceVersion: _version,
    inputTokensExpected: _input,
    outputTokensExpected: _output,
    ...numbers
  } = recorded;
  return qualityFromTable ? { ...numbers, ...known } : numbers;
}

function workOf({ backend, estimate, maxTokens, comparedTokens }: Able, choices: number): Work {
  const cached = backend.throughput?.prefillCounts === 'all' ? 0 : estimate.cacheReadTokensExpected;
  return {
    inputTokens: Math.max(0, estimate.inputTokensExpected - cached),
    outputTokens: (comparedTokens ?? Math.min(maxTokens, estimate.outputTokensExpected)) * choices,
  };
}

/** What stands behind because its bound is more than a budget on its path can spare. */
export function withRoom(weighed: readonly Weighed[], least: ExpectedUsd, pacing: Pacing): void {
  for (const w of weighed) {
    const beyond = isBeyondRoom(w.numbers, least, (basis) =>
      w.windows.some((window) => {
        const room = window.charge.basis === basis ? pacing.spareRoomNanos(window) : undefined;
        return room !== undefined && boundNanos(w.able.bound[basis], w.able.maxTokens) > room;
      }),
    );
    if (beyond) w.numbers = { ...w.numbers, beyondRoom: true };
  }
}

/**
 * Own backends of one model are replicas, of which the faster of two drawn is asked, unless others lose too much by it. Traces have no
 * prompts, so none has any warm, and none has a home.
 */
export function withReplicas(weighed: readonly Weighed[], policy: DecisionPolicy): void {
  const groups = new Map<string, Weighed[]>();
  for (const w of weighed) {
    const { local, replicaOf } = w.lane.backend;
    if (local) groups.set(replicaOf, [...(groups.get(replicaOf) ?? []), w]);
  }
  for (const [name, group] of groups) {
    if (group.length < 2) continue;
    const { probabilities, why } = chooseReplica(
      group.map(({ numbers, work, wish, lane: { backend } }) => backend.replica(numbers, work, wish, policy)),
      undefined,
      [0, 0],
    );
    group.forEach((w, i) => {
      w.numbers = { ...w.numbers, replicaOf: name.slice(0, 256), replicaChance: probabilities[i]!, replicaBy: why };
    });
  }
}

/** By what is configured, also where the objective does not heed it: so that policies are measured alike. USD. */
export function worthOf({ objective, revenueUsd, usdPerQuality }: DecisionPolicy, of: ScoreCandidate): number {
  return objective === 'margin' ? revenueUsd * (of.conversion ?? of.quality) : usdPerQuality * of.quality;
}

export function laneOf(lanes: readonly Lane[], id: string): Lane {
  for (const lane of lanes) if (lane.backend.config.id === id) return lane;
  throw new RangeError(`${id} is not a candidate`);
}
