import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import type { DecisionPolicy, Objective } from '@meritorder/contracts';
import { decide } from './decide.js';
import { choose, DEFAULT_EXPLORATION } from './explore.js';
import { scoreCandidates, type ScoreCandidate } from './score.js';

const candidate = (
  id: string,
  quality: number,
  costUsd: number,
  more: Partial<ScoreCandidate> = {},
): ScoreCandidate => ({
  id,
  quality,
  qualityVariance: 0,
  priorQuality: quality,
  outcomes: 0,
  marginalUsd: costUsd,
  cashUsd: costUsd,
  fullUsd: costUsd,
  shadowCash: 0,
  shadowFull: 0,
  gpuSeconds: 0,
  usdPerGpuSecond: 0,
  lateSeconds: 0,
  ...more,
});
const wish = (objective: Objective, more: Partial<DecisionPolicy> = {}): DecisionPolicy => ({
  objective,
  tier: null,
  usdPerQuality: 0.4,
  revenueUsd: 0,
  leastQuality: 0,
  maxCostUsd: null,
  usdPerSecondLate: 0,
  leastMarginShare: null,
  exploration: null,
  ...more,
});
const bestOf = (policy: DecisionPolicy, ...candidates: ScoreCandidate[]) =>
  scoreCandidates(policy, candidates).scored.map((s) => s.candidate.id);

describe('a deadline at which the call is broken off', () => {
  const within = (deadlineSeconds: number | undefined) => wish('cheapest', { deadlineSeconds });
  const [slow, slower, fast] = [4, 9, 0.8].map((latencySeconds, i) =>
    candidate(['slow', 'slower', 'fast'][i]!, 0.8, [0.0001, 0.00005, 0.001][i]!, { latencySeconds }),
  ) as [ScoreCandidate, ScoreCandidate, ScoreCandidate];
  const draws = { holdOut: 0, explore: 0.5, replica: 0.5 };
  const orderOf = (policy: DecisionPolicy, ...of: ScoreCandidate[]) =>
    decide(policy, of, draws).order.map((s) => s.candidate.id);

  it('puts whoever is expected after it behind all that make it, however cheap, the soonest first', () => {
    expect(orderOf(within(3), slower, slow, fast)).toEqual(['fast', 'slow', 'slower']);
    expect(orderOf(within(5), slower, slow, fast)).toEqual(['slow', 'fast', 'slower']);
    expect(orderOf(within(undefined), slower, slow, fast)).toEqual(['slower', 'slow', 'fast']);
  });

  it('takes who is not known for in time, and asks the soonest where nobody is: none is tried to learn of it', () => {
    const unknown = { ...slow, id: 'unknown', latencySeconds: undefined };
    expect(orderOf(within(3), slower, unknown, fast)).toEqual(['unknown', 'fast', 'slower']);
    const explores = { ...within(0.5), exploration: { ...DEFAULT_EXPLORATION, holdOutShare: 1 } };
    expect(orderOf(explores, slower, slow, fast)).toEqual(['fast', 'slow', 'slower']);
    expect(decide(explores, [slower, slow, fast], draws)).toMatchObject({ kind: 'best', probabilities: [1, 0, 0] });
  });

  it('counts before what a budget can spare: what is broken off would be paid for nothing', () => {
    const beyond = { ...fast, id: 'beyond', cashUsd: 0.002, marginalUsd: 0.002, beyondRoom: true };
    expect(orderOf(within(3), slow, beyond)).toEqual(['beyond', 'slow']);
    expect(orderOf(within(3), slow, beyond, fast)).toEqual(['fast', 'beyond', 'slow']);
  });

  it('makes value count by the chance that the answer is in time, and doubt about it likewise', () => {
    const risky = candidate('risky', 0.9, 0.01, { inTimeChance: 0.5, qualityVariance: 0.01 });
    const [scored] = scoreCandidates(wish('value', { deadlineSeconds: 3 }), [risky]).scored;
    expect(scored).toMatchObject({ valueUsd: 0.5 * 0.4 * 0.9, deviationUsd: 0.5 * 0.4 * 0.1 });
    const sure = candidate('sure', 0.7, 0.01, { inTimeChance: 0.98 });
    expect(bestOf(wish('value', { deadlineSeconds: 3 }), risky, sure)).toEqual(['sure', 'risky']);
    expect(bestOf(wish('margin', { deadlineSeconds: 3, revenueUsd: 1 }), risky, sure)).toEqual(['sure', 'risky']);
  });
});

describe('a ceiling of latency', () => {
  const slow = (measuredSeconds?: number) => candidate('slow', 0.9, 0.001, { measuredSeconds });
  const fast = candidate('fast', 0.5, 0.01, { measuredSeconds: 1 });

  it('keeps out who was measured to be above it, however good and cheap, and has a code of its own', () => {
    const { scored, refused } = scoreCandidates(wish('value', { maxLatencySeconds: 5 }), [slow(8), fast]);
    expect(scored.map((s) => s.candidate.id)).toEqual(['fast']);
    expect(refused).toMatchObject([{ candidate: { id: 'slow' }, code: 'too-slow' }]);
    expect(bestOf(wish('value', { maxLatencySeconds: 8 }), slow(8), fast)).toEqual(['slow', 'fast']);
  });

  it('of the first token keeps out who begins too late, whenever it ends', () => {
    const late = candidate('late', 0.9, 0.001, { measuredFirstTokenSeconds: 2 });
    const policy = wish('value', { maxFirstTokenSeconds: 1 });
    expect(scoreCandidates(policy, [late, fast]).refused).toMatchObject([
      { candidate: { id: 'late' }, code: 'too-slow' },
    ]);
    expect(bestOf(wish('value', { maxFirstTokenSeconds: 2 }), late, fast)).toEqual(['late', 'fast']);
    expect(bestOf(policy, slow(8), fast)).toEqual(['slow', 'fast']);
  });

  it('leaves one that was not measured its chance, and keeps nobody out where there is none', () => {
    expect(bestOf(wish('value', { maxLatencySeconds: 5 }), slow(), fast)).toEqual(['slow', 'fast']);
    expect(bestOf(wish('value'), slow(8), fast)).toEqual(['slow', 'fast']);
  });
});

describe('the score', () => {
  it('takes local in the worked example of economics section 1, and the cloud without a shadow price', () => {
    const at = (shadowPrice: number) =>
      bestOf(
        wish('value'),
        candidate('local', 0.82, 0.0004, { shadowCash: shadowPrice }),
        candidate('cloud', 0.87, 0.0124, { shadowCash: shadowPrice }),
      );
    expect([at(0.9)[0], at(0)[0]]).toEqual(['local', 'cloud']);
  });

  it('has four objectives: least cost, most quality, best value, most margin', () => {
    const all = [
      candidate('small', 0.6, 0.0001, { conversion: 0.03 }),
      candidate('middle', 0.8, 0.01, { conversion: 0.04 }),
      candidate('large', 0.82, 0.1, { conversion: 0.041 }),
    ];
    const first = (objective: Objective, revenueUsd = 5) => bestOf(wish(objective, { revenueUsd }), ...all)[0];
    expect([first('cheapest'), first('quality'), first('value'), first('margin'), first('margin', 0.5)]).toEqual([
      'small',
      'large',
      'middle',
      'middle',
      'small',
    ]);
  });

  it('counts congestion and lateness in dollars', () => {
    const idle = candidate('gpu', 0.8, 0.001, { gpuSeconds: 2 });
    const cloud = candidate('cloud', 0.8, 0.01);
    expect(bestOf(wish('value'), idle, cloud)[0]).toBe('gpu');
    expect(bestOf(wish('value'), { ...idle, usdPerGpuSecond: 0.01 }, cloud)[0]).toBe('cloud');
    expect(bestOf(wish('value', { usdPerSecondLate: 0.01 }), { ...idle, lateSeconds: 2 }, cloud)[0]).toBe('cloud');
  });

  it('refuses what is below the quality floor or above the cost cap, and says which', () => {
    const { scored, refused } = scoreCandidates(wish('cheapest', { leastQuality: 0.7, maxCostUsd: 0.05 }), [
      candidate('bad', 0.6, 0.001),
      candidate('dear', 0.9, 0.1),
      candidate('good', 0.8, 0.01),
    ]);
    expect(scored.map((s) => s.candidate.id)).toEqual(['good']);
    expect(refused.map((r) => [r.candidate.id, r.code])).toEqual([
      ['bad', 'below-quality'],
      ['dear', 'above-cost'],
    ]);
  });
});

describe('replicas of one model', () => {
  const draws = { holdOut: 0.5, explore: 0.5, replica: 0.5 };
  const own = (id: string, usd: number, replicaChance: number, more: Partial<ScoreCandidate> = {}) =>
    candidate(id, 0.8, usd, { replicaOf: 'own/llama', replicaBy: 'prefix', replicaChance, ...more });
  const cloud = candidate('cloud', 0.8, 0.0015);
  const decided = (...of: ScoreCandidate[]) => {
    const { order, probabilities } = decide(wish('cheapest'), of, draws);
    return [order.map((s) => s.candidate.id).join(' '), probabilities];
  };

  it('are compared with others by the best of them: nobody is paid while that has room', () => {
    expect(decided(own('idle', 0.00002, 0), own('busy', 0.002, 1), cloud)).toEqual(['idle cloud busy', [1, 0, 0]]);
    expect(decided(own('idle', 0.002, 0), own('busy', 0.003, 1), cloud)).toEqual(['cloud idle busy', [1, 0, 0]]);
  });

  it('spread requests among those of them that are better than whoever is next', () => {
    expect(decided(own('idle', 0.00002, 0), own('home', 0.001, 1), cloud)).toEqual(['home idle cloud', [1, 0, 0]]);
    const [one, two, worse] = [own('one', 0.0001, 0.25), own('two', 0.0002, 0.25), own('worse', 0.002, 0.5)];
    expect(decided(one, two, worse, cloud)).toEqual(['two one cloud worse', [0.5, 0.5, 0, 0]]);
  });

  it('of a record from before that are decided as they were: by the one that was asked', () => {
    const old = { replicaBy: undefined };
    expect(decided(own('idle', 0.00002, 0, old), own('busy', 0.002, 1, old), cloud)).toEqual([
      'cloud idle busy',
      [1, 0, 0],
    ]);
  });
});

describe('exploration', () => {
  const settings = { ...DEFAULT_EXPLORATION, holdOutShare: 0 };
  const scored = (...candidates: ScoreCandidate[]) => scoreCandidates(wish('value'), candidates).scored;
  const draws = { holdOut: 0.5, explore: 0.5, replica: 0 };

  it('adds at most its share to the spend, however dear the candidates', () => {
    const random = seededRandom(1);
    for (let i = 0; i < 200; i++) {
      const given = scored(
        ...Array.from({ length: 8 }, (_, k) =>
          candidate(`b${k}`, random(), 10 ** (-5 + 4 * random()), { qualityVariance: random() }),
        ),
      );
      const { probabilities } = choose(given, undefined, settings, draws);
      const best = given[0]!.candidate.marginalUsd;
      const extra = probabilities.reduce(
        (sum, p, k) => sum + p * Math.max(0, given[k]!.candidate.marginalUsd - best),
        0,
      );
      expect(extra).toBeLessThanOrEqual(settings.spendShare * best * (1 + 1e-9));
      expect(1 - probabilities[0]!).toBeLessThanOrEqual(settings.requestShare + 1e-9);
      expect(probabilities.reduce((sum, p) => sum + p)).toBeCloseTo(1, 12);
    }
  });

  it('counts by the full cost of own hardware: what that adds for one request more would try nobody beside it', () => {
    const own = candidate('own', 0.82, 0.00002, { qualityVariance: 0.0001, cashUsd: 0, fullUsd: 0.0004 });
    const fresh = candidate('fresh', 0.8, 0.002, { qualityVariance: 0.02 });
    const chanceOf = (spendOf: 'full' | undefined): number => {
      const { order, probabilities } = decide(
        wish('value', { usdPerQuality: 0.05, exploration: { ...settings, spendOf } }),
        [own, fresh],
        draws,
      );
      return probabilities[order.findIndex((s) => s.candidate.id === 'fresh')]!;
    };
    expect(chanceOf('full')).toBeCloseTo((0.02 * 0.0004) / 0.00198, 12);
    // As records of before were decided.
    expect(chanceOf(undefined)).toBeCloseTo((0.02 * 0.00002) / 0.00198, 12);
  });

  it('does so under `quality`, too, which itself counts no cost', () => {
    const draws = 4_000;
    const random = seededRandom(11);
    const best = candidate('best', 0.88, 0.0004, { qualityVariance: 0.001, outcomes: 50 });
    const dear = candidate('dear', 0.86, 0.21, { qualityVariance: 0.001, outcomes: 50 });
    const policy = wish('quality', { usdPerQuality: 1, exploration: DEFAULT_EXPLORATION });
    let spentUsd = 0;
    for (let i = 0; i < draws; i++) {
      const { order } = decide(policy, [best, dear], { holdOut: 0.5, explore: random(), replica: 0 });
      spentUsd += order[0]!.candidate.marginalUsd;
    }
    const { probabilities } = decide(policy, [best, dear], { holdOut: 0.5, explore: 0, replica: 0 });
    expect(probabilities.reduce((sum, p) => sum + p)).toBeCloseTo(1, 9);
    expect(spentUsd / draws).toBeLessThan(0.0004 * (1 + 3 * DEFAULT_EXPLORATION.spendShare));
  });

  it('holds out by what conversions are before learning, and not by a quality that is no rate', () => {
    const policy = wish('margin', { revenueUsd: 20, exploration: DEFAULT_EXPLORATION });
    const cheap = candidate('cheap', 0.8, 0.0005, { conversion: 0.03, conversionVariance: 0, priorConversion: 0.03 });
    const dear = candidate('dear', 0.9, 0.5, { conversion: 0.0301, conversionVariance: 0, priorConversion: 0.0301 });
    const { kind, order } = decide(policy, [cheap, dear], { holdOut: 0, explore: 0.5, replica: 0 });
    expect([kind, order[0]!.candidate.id]).toEqual(['hold-out', 'cheap']);
  });

  it('logs the probability with which each is in fact chosen, the hold-out included', () => {
    const given = scored(
      candidate('a', 0.8, 0.001, { qualityVariance: 0.01 }),
      candidate('b', 0.79, 0.001, { qualityVariance: 0.01 }),
      candidate('c', 0.78, 0.001, { qualityVariance: 0.01 }),
    );
    const random = seededRandom(2);
    const counts: Record<string, number> = {};
    const said: Record<string, number> = {};
    const times = 40_000;
    for (let i = 0; i < times; i++) {
      const held = { ...DEFAULT_EXPLORATION, holdOutShare: 0.05 };
      const { chosen, probability } = choose(given, 'c', held, { holdOut: random(), explore: random() });
      counts[chosen.candidate.id] = (counts[chosen.candidate.id] ?? 0) + 1;
      said[chosen.candidate.id] = probability;
    }
    for (const id of ['a', 'b', 'c']) expect((counts[id] ?? 0) / times).toBeCloseTo(said[id]!, 1.9);
  });

  it('costs at most 1 % of what the request brings, in money and in value, whatever is explored and under any objective', () => {
    const random = seededRandom(5);
    let bound = 0;
    for (let i = 0; i < 2_000; i++) {
      const policy = wish((['cheapest', 'value', 'margin', 'quality'] as const)[i % 4]!, {
        usdPerQuality: 10 ** (-3 + 3 * random()),
        revenueUsd: i % 8 < 4 ? 10 ** (-2 + 3 * random()) : 0,
        exploration: { ...settings, spendShare: 1, requestShare: 1 },
      });
      const given = Array.from({ length: 6 }, (_, k) =>
        candidate(`b${k}`, random(), 10 ** (-5 + 4 * random()), {
          qualityVariance: random() ** 2,
          conversion: random() * 0.1,
          conversionVariance: random() * 1e-3,
          ...(i % 3 === 0 ? {} : { chargedUsd: 10 ** (-5 + 4 * random()) }),
        }),
      );
      const { order, probabilities, guard } = decide(policy, given, draws);
      const best = scoreCandidates(policy, given).scored[0]!;
      if (guard === undefined) continue;
      const brings = (best.candidate.chargedUsd ?? 0) + (policy.objective === 'margin' ? best.valueUsd : 0);
      expect(guard.incomeUsd).toBeCloseTo(brings, 12);
      const lossUsd = order.reduce((sum, { candidate: c, valueUsd }, k) => {
        const loses = c.marginalUsd - best.candidate.marginalUsd + best.valueUsd - valueUsd;
        return sum + probabilities[k]! * Math.max(0, loses);
      }, 0);
      expect(lossUsd).toBeLessThanOrEqual(0.01 * brings * (1 + 1e-9));
      if (lossUsd > 0.005 * brings) bound++;
    }
    // The limit is what held them, not that nothing was explored.
    expect(bound).toBeGreaterThan(50);
  });

  it('is free where it loses nothing, not paid for by who is charged nothing, and unguarded where nothing is known of income', () => {
    const uncertain = { qualityVariance: 0.04 };
    const chanceOf = (policy: DecisionPolicy, more: Partial<ScoreCandidate>, otherUsd: number): number => {
      const given = [
        candidate('a', 0.8, 0.001, { ...uncertain, ...more }),
        candidate('b', 0.8, otherUsd, { ...uncertain, ...more }),
      ];
      const { order, probabilities } = decide(policy, given, draws);
      return probabilities[order.findIndex((s) => s.candidate.id === 'b')]!;
    };
    const exploring = wish('value', { usdPerQuality: 0.001, exploration: { ...settings, spendShare: 1 } });
    expect(chanceOf(exploring, { chargedUsd: 0 }, 0.00101)).toBe(0);
    expect(chanceOf(exploring, { chargedUsd: 0 }, 0.001)).toBeGreaterThan(0.05);
    expect(chanceOf(exploring, { chargedUsd: 0.002 }, 0.0012)).toBeCloseTo((0.01 * 0.002) / 0.0002, 12);
    expect(chanceOf(exploring, {}, 0.00101)).toBeGreaterThan(0.05);
  });

  it('never leaves the best when nothing is uncertain', () => {
    expect(
      choose(scored(candidate('a', 0.8, 0.001), candidate('b', 0.7, 0.001)), undefined, settings, draws).probabilities,
    ).toEqual([1, 0]);
  });
});
