import { EXAMPLES, type ExportedDecision, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { decide, policyFor, type ScoreCandidate } from '@meritorder/routing-core';
import { describe, expect, it } from 'vitest';
import { config, POLICY } from '../fixture.for-tests.js';
import { PolicyEvaluation, type EvaluatedPolicy } from './evaluate-policy.js';

const EXPLORING =
  'exploration: { spendShare: 1, leastCostUsd: "1", requestShare: 0.4, revenueShare: 1, holdOutShare: 0 }';
const logged = config(
  `routes: [{ id: any, backends: [dear, plain], objective: value, usdPerQualityPoint: "0.02", ${EXPLORING} }]\n`,
);
/** What their answers are worth and cost, and not what was expected of them. */
const TRUTH = { dear: { quality: 0.9, usd: 0.015 }, plain: { quality: 0.5, usd: 0.001 } } as const;

/** As a router decides, and what came of it. */
function served(random: () => number, over: Partial<RoutingDecisionMadeV1> = {}): ExportedDecision {
  const { score } = policyFor({ route: logged.routes[0], tier: undefined, wishes: undefined });
  const candidate = (id: 'dear' | 'plain', usd: number): ScoreCandidate => ({
    id,
    quality: 0.7,
    qualityVariance: 0.2,
    priorQuality: 0.7,
    outcomes: 0,
    marginalUsd: usd,
    cashUsd: usd,
    fullUsd: usd,
    shadowCash: 0,
    shadowFull: 0,
    gpuSeconds: 0,
    usdPerGpuSecond: 0,
    lateSeconds: 0,
  });
  const candidates = [candidate('dear', 0.014), candidate('plain', 0.002)];
  const draws = { holdOut: random(), explore: random(), replica: random() };
  const { order, probabilities } = decide(score, candidates, draws);
  const first = order[0]!.candidate.id as keyof typeof TRUTH;
  const record: RoutingDecisionMadeV1 = {
    ...(EXAMPLES.events['routing.decision-made.v1'] as RoutingDecisionMadeV1),
    attribution: { org: 'acme' },
    route: 'any',
    candidates: candidates.map(({ id, cashUsd, fullUsd, ...numbers }) => ({
      backend: id,
      priceVersion: 'pv-1',
      expectedCashUsd: cashUsd,
      expectedFullUsd: fullUsd,
      numbers,
      boundCashNanos: '0',
      boundFullNanos: '0',
      excluded: null,
      probability: probabilities[order.findIndex((s) => s.candidate.id === id)]!,
    })),
    choice: first,
    probability: probabilities[0]!,
    policy: score,
    draws,
    order: order.map((s) => s.candidate.id),
    ...over,
  };
  const nanos = String(Math.round(TRUTH[first].usd * (0.5 + random()) * 1e9));
  return {
    record,
    booked: { cashNanos: nanos, fullNanos: nanos },
    quality: { value: random() < TRUTH[first].quality ? 1 : 0, weight: 1 },
  };
}

function evaluated(routes: string, log: readonly ExportedDecision[], backends = ''): EvaluatedPolicy {
  const evaluation = new PolicyEvaluation(config(routes, backends));
  for (const decision of log) evaluation.take(decision);
  return evaluation.result();
}
const logOf = (count: number): ExportedDecision[] => {
  const random = seededRandom(9);
  return Array.from({ length: count }, () => served(random));
};
const onlyDear = 'routes: [{ id: any, backends: [dear], exploration: false }]\n';

describe('a policy on the log of another', () => {
  it('is worth what its choices are truly worth and cost, within the intervals', () => {
    const log = logOf(2_000);
    const share = log.filter(({ record }) => record.choice === 'dear').length / log.length;
    // Explored, so that the log is not like the policy.
    expect(share).toBeGreaterThan(0.05);
    expect(share).toBeLessThan(0.5);
    for (const { metric, estimate, refusal } of evaluated(onlyDear, log).metrics) {
      expect(refusal).toBeNull();
      const truth = metric === 'quality' ? TRUTH.dear.quality : TRUTH.dear.usd;
      for (const of of [estimate!.ips, estimate!.snips, estimate!.doublyRobust]) {
        expect(of.low).toBeLessThan(truth);
        expect(of.high).toBeGreaterThan(truth);
        expect(of.high - of.low).toBeLessThan(0.4 * truth);
      }
      const { doublyRobust } = estimate!.change;
      expect(doublyRobust.value).toBeCloseTo(estimate!.doublyRobust.value - estimate!.logged.value, 12);
      expect(doublyRobust.low).toBeGreaterThan(0);
    }
  });

  it('that is the same makes exactly of it what came of it, and every decision counts', () => {
    const log = logOf(400);
    const same = `routes: [{ id: any, backends: [dear, plain], objective: value, usdPerQualityPoint: "0.02", ${EXPLORING} }]\n`;
    const [quality] = evaluated(same, log).metrics;
    expect(quality!.effectiveSample).toBeCloseTo(400, 6);
    const mean = log.reduce((sum, d) => sum + d.quality!.value, 0) / 400;
    expect(quality!.estimate).toMatchObject({ ips: { value: mean }, snips: { value: mean }, logged: { value: mean } });
    expect(quality!.estimate!.change.ips).toEqual({ value: 0, low: 0, high: 0 });
  });

  it('is not judged by too few decisions, and says what to do', () => {
    const [quality] = evaluated(onlyDear, logOf(300)).metrics;
    expect(quality).toMatchObject({ requests: 300, estimate: null });
    expect(quality!.effectiveSample).toBeLessThan(200);
    expect(quality!.refusal).toMatch(
      /^not enough data: 300 requests say as much of this policy as \d+ of its own, and 200/,
    );
  });

  it('is not judged where it would choose what had no chance', () => {
    const log = logOf(400).map(({ record, ...rest }) => ({
      ...rest,
      record: {
        ...record,
        probability: 1,
        order: ['plain'],
        candidates: record.candidates.map(({ probability: _p, ...c }) =>
          c.backend === 'plain' ? { ...c, probability: 1 } : c,
        ),
      },
    }));
    const result = evaluated(onlyDear, log);
    expect(result).toMatchObject({ untriedShare: 1, untried: { dear: 1 } });
    expect(result.metrics[0]!.refusal).toContain(
      'nothing is known of 100.0 % of what it would choose: dear had no chance',
    );
  });

  describe('that allows a backend of which the record has no numbers', () => {
    const adding = `routes: [{ id: any, backends: [dear, plain, newone], objective: value, usdPerQualityPoint: "0.02", ${EXPLORING} }]\n`;
    const newone = `  - { id: newone, kind: cloud, provider: r, model: n, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 100000, maxOutputTokens: 1000,
      prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { inputUsdPerMillionTokens: "1", outputUsdPerMillionTokens: "4" } }] }\n`;
    const without = { boundCashNanos: null, boundFullNanos: null, priceVersion: null };
    const judged = (routes: string, exclusionCode?: string, more: object = {}): EvaluatedPolicy =>
      evaluated(
        routes,
        logOf(400).map(({ record, ...rest }) => {
          const out = { ...without, backend: 'newone', expectedCashUsd: null, expectedFullUsd: null, excluded: 'out' };
          const candidates = exclusionCode ? [...record.candidates, { ...out, exclusionCode }] : record.candidates;
          return { ...rest, record: { ...record, candidates, ...more } };
        }),
        newone,
      );

    it('is not judged, and names it: it was no candidate, or was not allowed then', () => {
      for (const code of [undefined, 'not-allowed', 'unpriced']) {
        const result = judged(adding, code);
        expect(result).toMatchObject({ untriedShare: 1, unknown: { newone: 1 }, leftOut: { 'refused-now': 0 } });
        for (const { estimate, refusal } of result.metrics) {
          expect(estimate).toBeNull();
          expect(refusal).toContain('nothing is known of newone: it was no candidate then');
        }
      }
      expect(judged('routes: [{ id: any, backends: [newone] }]\n').metrics[0]!.refusal).toContain(
        'nothing is known of newone',
      );
    });

    it('is judged where that could not have served the request under any policy, or is not allowed now either', () => {
      for (const code of ['unable', 'busy', 'unavailable'])
        expect(judged(adding, code)).toMatchObject({
          untriedShare: 0,
          unknown: {},
          metrics: [{ refusal: null }, {}, {}],
        });
      expect(judged(adding.replace(', newone', ''), 'not-allowed').untriedShare).toBe(0);
    });

    it('is judged where its cost was above a cap that is no higher now', () => {
      const policyThen = (maxCostUsd: number | null) => ({
        wishes: { max_cost_usd: '0.02' },
        policy: { ...POLICY, maxCostUsd },
      });
      expect(judged(adding, 'above-cap', policyThen(0.02)).unknown).toEqual({});
      expect(judged(adding, 'above-cap', policyThen(0.01)).unknown).toEqual({ newone: 1 });
    });
  });

  it('of the objective margin takes no quality for a conversion, and goes by the revenue of then where it was known', () => {
    const margin =
      'routes: [{ id: any, backends: [dear, plain], objective: margin, revenueUsd: "5", exploration: false }]\n';
    const [decision] = logOf(1);
    const { record } = decision!;
    const chosen = (more: object, conversions: Record<string, number> = {}) => {
      const candidates = record.candidates.map((c) => ({
        ...c,
        numbers: {
          ...c.numbers!,
          quality: c.backend === 'dear' ? 0.9 : 0.7,
          ...(c.backend in conversions ? { conversion: conversions[c.backend]!, conversionVariance: 0 } : {}),
        },
      }));
      const plain = { order: ['plain'], choice: 'plain', probability: 1 };
      const result = evaluated(margin, [{ ...decision!, record: { ...record, candidates, ...plain, ...more } }]);
      return [result.metrics[1]!.effectiveSample === 1 ? 'plain' : 'dear', result.conversionsUnlearned];
    };
    expect(chosen({})).toEqual(['plain', 1]);
    const learned = { dear: 0.05, plain: 0.02 };
    expect(chosen({}, learned)).toEqual(['dear', 0]);
    expect(chosen({ policy: { ...POLICY, objective: 'margin', revenueUsd: 0.1 } }, learned)).toEqual(['plain', 0]);
    // Nothing was known of it then.
    expect(chosen({ policy: { ...POLICY, objective: 'margin', revenueUsd: 0 } }, learned)).toEqual(['dear', 0]);
  });

  it('lets others of as good a quality answer for a backend that is named, where the caller allowed it', () => {
    const random = seededRandom(3);
    const routes = 'routes: [{ id: any, backends: [dear, plain], exploration: false }]\n';
    const tried = (wishes: object | undefined): number =>
      evaluated(routes, [served(random, { route: 'dear', wishes, order: ['plain'], choice: 'plain', probability: 1 })])
        .metrics[1]!.effectiveSample;
    // Both are taken to be of 0.7, and the other is cheaper.
    expect(tried({ allow_substitution: true })).toBe(1);
    expect(tried(undefined)).toBe(0);
  });

  it('leaves out, and counts, what says nothing of it', () => {
    const random = seededRandom(2);
    const { record } = served(random);
    const result = evaluated(onlyDear, [
      served(random),
      { record },
      served(random, { order: [], probability: 0, choice: null }),
      served(random, { draws: undefined }),
      served(random, { route: 'gone' }),
    ]);
    expect(result).toMatchObject({
      requests: 5,
      leftOut: { 'refused-then': 1, 'refused-now': 1, 'too-old': 1, 'nothing-came-of-it': 1 },
    });
    expect(result.metrics.map((m) => m.requests)).toEqual([1, 1, 1]);
  });
});
