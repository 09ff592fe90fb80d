import { RoutingDecisionMadeV1, type DecisionDraws, type DecisionPolicy } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { decide } from './decide.js';
import { replay } from './record.js';
import type { ScoreCandidate } from './score.js';

type Random = () => number;
const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
/** Over many magnitudes, and now and then nothing. */
const amount = (random: Random): number => (random() < 0.1 ? 0 : 10 ** (random() * 6 - 5));
const maybe = <K extends string, V>(random: Random, name: K, value: V): { [key in K]?: V } =>
  random() < 0.5 ? {} : ({ [name]: value } as { [key in K]?: V });

function somePolicy(random: Random): DecisionPolicy {
  return {
    objective: pick(random, ['cheapest', 'value', 'margin', 'quality'] as const),
    tier: pick(random, [null, 'pro']),
    usdPerQuality: amount(random),
    revenueUsd: amount(random) * pick(random, [1, -1]),
    leastQuality: random() < 0.5 ? 0 : random() * 0.6,
    maxCostUsd: random() < 0.7 ? null : amount(random),
    usdPerSecondLate: amount(random),
    leastMarginShare: random() < 0.7 ? null : random() - 0.2,
    ...maybe(random, 'maxLatencySeconds', random() * 30 + 1),
    ...maybe(random, 'maxFirstTokenSeconds', random() * 3 + 0.1),
    exploration:
      random() < 0.3
        ? null
        : {
            spendShare: random() * 0.5,
            leastCostUsd: amount(random),
            requestShare: random(),
            ...maybe(random, 'spendOf', 'full' as const),
            ...maybe(random, 'revenueShare', random() * 0.1),
            holdOutShare: random() * 0.2,
          },
  };
}

function someCandidates(random: Random): ScoreCandidate[] {
  return Array.from({ length: Math.floor(random() * 12) }, (_, i) => ({
    id: `backend-${i}`,
    quality: random(),
    qualityVariance: random() < 0.3 ? 0 : random() ** 4,
    priorQuality: random(),
    outcomes: Math.floor(random() * 1_000) / 7,
    ...maybe(random, 'conversion', random()),
    ...maybe(random, 'conversionVariance', random() ** 4),
    ...maybe(random, 'chargedUsd', amount(random)),
    ...maybe(random, 'beyondRoom', random() < 0.3),
    ...maybe(random, 'latencySeconds', random() * 30),
    ...maybe(random, 'measuredSeconds', random() * 30),
    ...maybe(random, 'measuredFirstTokenSeconds', random() * 3),
    ...maybe(random, 'replicaOf', pick(random, ['llama', 'qwen'])),
    ...maybe(random, 'replicaChance', random()),
    ...maybe(random, 'replicaBy', pick(random, ['prefix', 'two-choices', 'only'] as const)),
    marginalUsd: amount(random),
    cashUsd: amount(random),
    fullUsd: amount(random),
    shadowCash: amount(random),
    shadowFull: amount(random),
    gpuSeconds: random() * 10,
    usdPerGpuSecond: amount(random),
    lateSeconds: random() < 0.5 ? 0 : random() * 10,
  }));
}

/** A decision and its record, as a router makes one. */
function decided(policy: DecisionPolicy, candidates: readonly ScoreCandidate[], draws: DecisionDraws) {
  const decision = decide(policy, candidates, draws);
  const order = decision.order.map((s) => s.candidate.id);
  const record: RoutingDecisionMadeV1 = {
    requestId: 'r-1',
    attemptNumber: 1,
    attribution: { org: 'acme' },
    kind: 'chat',
    route: 'auto',
    objective: policy.objective,
    decidedAt: '2026-11-24T09:30:00.000Z',
    epoch: 1,
    inputTokensExpected: 1,
    inputTokensBound: 2,
    outputTokensExpected: 3,
    maxTokens: null,
    candidates: candidates.map(({ id, cashUsd, fullUsd, ...numbers }) => {
      const place = order.indexOf(id);
      return {
        backend: id,
        priceVersion: 'pv-1',
        expectedCashUsd: cashUsd,
        expectedFullUsd: fullUsd,
        boundCashNanos: '0',
        boundFullNanos: '0',
        excluded: decision.refused.find((r) => r.candidate.id === id)?.code ?? null,
        numbers,
        ...(place < 0
          ? {}
          : { scoreUsd: decision.order[place]!.scoreUsd, probability: decision.probabilities[place]! }),
        ...(decision.guard?.most.has(id) ? { mostExplored: decision.guard.most.get(id)! } : {}),
      };
    }),
    choice: order[0] ?? null,
    probability: decision.probabilities[0] ?? 0,
    refusal: order.length > 0 ? null : 'below_floor',
    reason: '',
    policy,
    draws,
    ...(order.length > 0 ? { choiceKind: decision.kind } : {}),
    ...(decision.guard ? { explorationIncomeUsd: decision.guard.incomeUsd } : {}),
    order,
  };
  return { decision, record };
}

describe('a decision from its record', () => {
  it('comes out the same after JSON, whatever was decided: order, choice, scores, every probability', () => {
    const random = seededRandom(20_261_124);
    const kinds = new Map<string, number>();
    for (let n = 0; n < 1_000; n++) {
      const draws = { holdOut: random(), explore: random(), replica: random() };
      const { decision, record } = decided(somePolicy(random), someCandidates(random), draws);
      const kept = RoutingDecisionMadeV1.parse(JSON.parse(JSON.stringify(RoutingDecisionMadeV1.parse(record))));
      const again = replay(kept);
      expect(again).toMatchObject({ replayable: true, same: true, differences: [] });
      if (!again.replayable) continue;
      expect(again.decision.order.map((s) => [s.candidate.id, s.scoreUsd])).toEqual(
        decision.order.map((s) => [s.candidate.id, s.scoreUsd]),
      );
      expect(again.decision.probabilities).toEqual(decision.probabilities);
      expect(again.decision.refused.map((r) => [r.candidate.id, r.code])).toEqual(
        decision.refused.map((r) => [r.candidate.id, r.code]),
      );
      const kind = decision.order.length === 0 ? 'refused' : decision.kind;
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    // The thousand are of every kind, so that none is left out.
    expect([...kinds.keys()].toSorted()).toEqual(['best', 'explored', 'hold-out', 'refused']);
  });

  it('is said to be another where a number was changed', () => {
    const random = seededRandom(7);
    const { record } = decided(
      {
        ...somePolicy(random),
        leastQuality: 0,
        maxCostUsd: null,
        maxLatencySeconds: undefined,
        maxFirstTokenSeconds: undefined,
      },
      someCandidates(random),
      {
        holdOut: 0.9,
        explore: 0.9,
        replica: 0,
      },
    );
    const [first, ...rest] = record.candidates;
    const changed = {
      ...record,
      candidates: [
        { ...first!, numbers: { ...first!.numbers!, marginalUsd: first!.numbers!.marginalUsd + 1 } },
        ...rest,
      ],
    };
    expect(replay(changed)).toMatchObject({ replayable: true, same: false });
    expect(replay({ ...record, order: record.order!.toReversed() })).toMatchObject({ same: false });
    expect(replay({ ...record, probability: 0.123 })).toMatchObject({ same: false });
  });

  it('of a version that kept too little cannot be replayed, and says so', () => {
    const { record } = decided(somePolicy(seededRandom(1)), someCandidates(seededRandom(2)), {
      holdOut: 0.5,
      explore: 0.5,
      replica: 0.5,
    });
    const { policy: _, ...old } = record;
    expect(replay(old)).toEqual({ replayable: false, why: expect.stringContaining('did not keep policy') });
  });
});
