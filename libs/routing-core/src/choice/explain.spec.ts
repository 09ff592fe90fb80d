import type { DecisionPolicy, Objective, PassedOver } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { decide } from './decide.js';
import { explain, type ScarceBudget } from './explain.js';
import type { ScoreCandidate } from './score.js';

const candidate = (id: string, quality: number, usd: number, more: Partial<ScoreCandidate> = {}): ScoreCandidate => ({
  id,
  quality,
  qualityVariance: 0,
  priorQuality: quality,
  outcomes: 0,
  marginalUsd: usd,
  cashUsd: usd,
  fullUsd: usd,
  shadowCash: 0,
  shadowFull: 0,
  gpuSeconds: 0,
  usdPerGpuSecond: 0,
  lateSeconds: 0,
  ...more,
});
const policy = (more: Partial<DecisionPolicy>): DecisionPolicy => ({
  objective: 'value',
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
/** @param paths by candidate, its budgets with a shadow price, of which the numbers of the candidate are made too */
function sentence(
  of: Partial<DecisionPolicy>,
  candidates: ScoreCandidate[],
  paths: Record<string, ScarceBudget[]> = {},
): string {
  const on = (id: string): ScarceBudget[] => paths[id] ?? paths['*'] ?? [];
  const sum = (id: string, basis: 'cash' | 'full'): number =>
    on(id).reduce((total, b) => total + (b.basis === basis ? b.shadowPrice : 0), 0);
  const priced = candidates.map((c) => ({ ...c, shadowCash: sum(c.id, 'cash'), shadowFull: sum(c.id, 'full') }));
  const decision = decide(policy(of), priced, { holdOut: 0.5, explore: 0.5, replica: 0.5 });
  return explain(policy(of), decision, decision.order[0]!, [], on);
}
const at = (budget: string, shadowPrice: number, basis: 'cash' | 'full' = 'cash'): ScarceBudget => ({
  budget,
  basis,
  shadowPrice,
});

describe('the sentence for people', () => {
  it('is to the letter that of the worked example: economics, section 1', () => {
    const pair = [candidate('llama-70b', 0.82, 0.0004), candidate('gpt-4-turbo', 0.87, 0.0124)];
    expect(sentence({}, pair, { '*': [at('eng-month', 0.9)] })).toBe(
      "llama-70b: .82 expected quality at $0.0004; gpt-4-turbo would add .05, worth $0.020 here, for $0.0120 more, which counts $0.0228 at eng-month's shadow price of .9",
    );
  });

  it('tells all its costs to the same decimal, three significant digits of the largest', () => {
    expect(sentence({ objective: 'cheapest' }, [candidate('a', 0.5, 0.0001), candidate('b', 0.5, 0.001)])).toBe(
      'a: the cheapest of 2 able backends at $0.00010 expected; next b at $0.00100',
    );
    expect(sentence({ objective: 'cheapest' }, [candidate('a', 0.5, 1.5), candidate('b', 0.5, 1234.567)])).toBe(
      'a: the cheapest of 2 able backends at $1.50 expected; next b at $1234.57',
    );
  });

  it('tells what is far below the others by two digits of its own, and nothing as nothing', () => {
    expect(sentence({ objective: 'cheapest' }, [candidate('a', 0.5, 4.2e-7), candidate('b', 0.5, 0.0124)])).toBe(
      'a: the cheapest of 2 able backends at $0.00000042 expected; next b at $0.0124',
    );
    expect(sentence({ objective: 'cheapest' }, [candidate('a', 0.5, 0), candidate('b', 0.5, 0.0124)])).toBe(
      'a: the cheapest of 2 able backends at $0 expected; next b at $0.0124',
    );
    expect(sentence({}, [candidate('a', 0.5, 0.012_341), candidate('b', 0.5, 0.012_345)])).toBe(
      'a: .5 expected quality at $0.0123; b would add nothing, worth $0 here, for $0.0000040 more',
    );
  });

  it('tells what quality is worth by two significant digits, also where it is lost', () => {
    expect(sentence({ usdPerQuality: 0.02 }, [candidate('a', 0.9, 0.001), candidate('b', 0.85, 0.0002)])).toBe(
      'a: .9 expected quality at $0.00100; b would lose .05, worth -$0.0010 here, and save $0.00080',
    );
  });

  it('says who had the better score, and stands behind because it may cost more than a budget can spare', () => {
    const beyond = { beyondRoom: true };
    expect(sentence({}, [candidate('a', 0.82, 0.0004), candidate('b', 0.88, 0.0012, beyond)])).toBe(
      'a: .82 expected quality at $0.000400; b would add .06, worth $0.024 here, for $0.000800 more; b may cost more than a budget can spare',
    );
    expect(sentence({}, [candidate('a', 0.88, 0.0004), candidate('b', 0.5, 0.0012, beyond)])).not.toContain('spare');
    expect(sentence({ objective: 'cheapest' }, [candidate('a', 0.5, 0.001), candidate('b', 0.5, 0.0001, beyond)])).toBe(
      'a: one of 2 able backends at $0.00100 expected; next b at $0.00010; b may cost more than a budget can spare',
    );
  });
});

describe('a replica that is asked though another scores better', () => {
  const replica = (id: string, usd: number, replicaBy: ScoreCandidate['replicaBy'], replicaChance: number) =>
    candidate(id, 0.82, usd, { replicaOf: 'own/llama', replicaBy, replicaChance });
  const pair = (by: ScoreCandidate['replicaBy']) => [replica('l0', 0.00002, by, 0), replica('l1', 0.00003, by, 1)];

  it('says why it was, under any objective', () => {
    expect(sentence({ objective: 'cheapest' }, pair('prefix'))).toBe(
      'l1: one of 2 able backends at $0.0000300 expected; next l0 at $0.0000200; l0 serves the same model, and l1 keeps what begins like this prompt warm',
    );
    expect(sentence({}, pair('two-choices'))).toBe(
      'l1: .82 expected quality at $0.0000300; l0 would add nothing, worth $0 here, and save $0.0000100; l0 serves the same model, and l1 was the faster of two drawn at random, so that not all go to one',
    );
    expect(sentence({}, [...pair('only'), replica('l2', 0.00001, 'only', 0)])).toMatch(
      /; l2 and l0 serve the same model, and l1 takes less time$/,
    );
  });

  it('says nothing where the best is asked', () => {
    const [l0, l1] = pair('prefix') as [ScoreCandidate, ScoreCandidate];
    expect(
      sentence({}, [
        { ...l0, replicaChance: 1 },
        { ...l1, replicaChance: 0 },
      ]),
    ).not.toContain('same model');
  });
});

describe('a deadline', () => {
  const slow = candidate('slow', 0.8, 0.0001, { latencySeconds: 4.074, inTimeChance: 0.12 });
  const fast = candidate('fast', 0.8, 0.001, { latencySeconds: 0.77, inTimeChance: 0.98 });

  it('is why the better one stands behind, and says by how much that would miss it', () => {
    const of = { objective: 'cheapest', deadlineSeconds: 3 } as const;
    expect(sentence(of, [slow, fast])).toBe(
      'fast: one of 2 able backends at $0.00100 expected; next slow at $0.00010; slow would miss the deadline: expected after 4.07 s of the 3 s left',
    );
    const slower = { ...slow, id: 'slower', latencySeconds: 123.4 };
    expect(sentence(of, [slower, slow, fast])).toContain(
      '; slow and slower would miss the deadline: expected after 4.07 s and 123 s of the 3 s left',
    );
    expect(sentence({ ...of, deadlineSeconds: 0.5 }, [slow, fast])).toMatch(
      /^fast: .*; it would miss the deadline: expected after 0\.77 s of the 0\.5 s left$/,
    );
    expect(sentence({ ...of, deadlineSeconds: 5 }, [slow, fast])).not.toContain('deadline');
  });

  it('makes a difference to what answers are worth, which is told', () => {
    expect(sentence({ deadlineSeconds: 3 }, [slow, fast])).toContain(
      '; slow would add nothing, worth -$0.28 here (in time with 12 % against 98 %), and save $0.00090',
    );
  });
});

describe('a candidate that the counters passed over', () => {
  const three = [candidate('a', 0.5, 0.0001), candidate('b', 0.5, 0.0002), candidate('c', 0.5, 0.0003)];
  const told = (why: Record<string, PassedOver>, tried: string[] = [], objective: Objective = 'cheapest'): string => {
    const of = policy({ objective });
    const decision = decide(of, three, { holdOut: 0.5, explore: 0.5, replica: 0.5 });
    const [chosen] = decision.order.filter((s) => s.candidate.id === 'c');
    return explain(
      of,
      decision,
      chosen!,
      tried,
      () => [],
      (id) => why[id],
    );
  };
  const stage = (stage: PassedOver['stage']): PassedOver => ({ kind: 'stage', budget: 'pl', window: '2026-11', stage });

  it.each<[PassedOver, string]>([
    [{ kind: 'exhausted', budget: 'month', window: '2026-11' }, 'month had no room for a and b'],
    [{ kind: 'held', budget: 'month', window: '2026-11' }, 'month had no room for a and b beside what is in flight'],
    [stage('prefer-local'), 'pl is at a stage that prefers own hardware to a and b'],
    [stage('local-only'), 'pl is at a stage that admits own hardware alone, not a and b'],
    [stage('reject'), 'pl is at a stage that admits nothing that costs something, so not a and b'],
    [
      { kind: 'throttled', budget: 'pl', window: '2026-11' },
      'pl is near its limit and admits only so many requests a minute, not a and b',
    ],
    [
      { kind: 'instances', budget: 'each--1', window: '2026-11' },
      'the template of each--1 has as many windows as it may, so a and b would be one too many',
    ],
    [
      { kind: 'rate', account: 'limited', short: 'requests', limitPerMinute: 3 },
      'the account at limited is at its limit of 3 requests a minute, so not a and b',
    ],
  ])('is told with what stood in its way: %o', (why, text) => {
    expect(told({ a: why, b: why })).toBe(
      `c: one of 3 able backends at $0.000300 expected; next a at $0.000100; ${text}`,
    );
  });

  it('is told by itself where others had another reason, and where nobody knows of one', () => {
    expect(told({ a: { kind: 'exhausted', budget: 'month', window: '2026-11' } })).toMatch(
      /; month had no room for a; b did not fit$/,
    );
  });

  it('before is not counted among those that it is the cheapest of, nor told again', () => {
    expect(told({ b: { kind: 'exhausted', budget: 'month', window: '2026-11' } }, ['a'])).toBe(
      'c: one of 2 able backends at $0.000300 expected; next b at $0.000200; month had no room for b, after a could not take it',
    );
    expect(told({}, ['a', 'b'])).toBe('c: the only able backend at $0.000300 expected, after a, b could not take it');
    expect(told({}, ['a', 'b'], 'value')).toMatch(
      /^c: \.5 expected quality at \$0\.000300, the only able backend, after/,
    );
  });
});

describe('what decided against the cheaper one', () => {
  const CHEAPEST = { objective: 'cheapest' } as const;
  const pair = [candidate('anthropic', 0.8, 0.002), candidate('openai', 0.8, 0.001)];

  it('is the shadow price of its budget', () => {
    expect(sentence(CHEAPEST, pair, { openai: [at('openai-month', 9)] })).toBe(
      "anthropic: not the cheapest of 2 able backends at $0.00200 expected; openai at $0.00100 counts $0.00900 more at openai-month's shadow price of 9",
    );
  });

  it('is the crowd at its hardware, or that it comes late, or both', () => {
    const crowded = { gpuSeconds: 2, usdPerGpuSecond: 0.01 };
    const [anthropic, openai] = pair as [ScoreCandidate, ScoreCandidate];
    expect(sentence(CHEAPEST, [anthropic, { ...openai, ...crowded }])).toBe(
      'anthropic: not the cheapest of 2 able backends at $0.0020 expected; openai at $0.0010 counts $0.0200 more for the others it would keep waiting',
    );
    expect(sentence({ ...CHEAPEST, usdPerSecondLate: 0.005 }, [anthropic, { ...openai, lateSeconds: 2 }])).toBe(
      'anthropic: not the cheapest of 2 able backends at $0.0020 expected; openai at $0.0010 counts $0.0100 more for coming late',
    );
    expect(
      sentence(
        { ...CHEAPEST, usdPerSecondLate: 0.005 },
        [
          { ...anthropic, lateSeconds: 1 },
          { ...openai, ...crowded },
        ],
        { openai: [at('openai-month', 9)] },
      ),
    ).toBe(
      "anthropic: not the cheapest of 2 able backends at $0.0020 expected; openai at $0.0010 counts $0.0090 more at openai-month's shadow price of 9, $0.0200 more for the others it would keep waiting and $0.0050 less for coming late",
    );
  });

  it('is told of a cheaper one that is not the next', () => {
    expect(sentence(CHEAPEST, [...pair, candidate('mistral', 0.8, 0.003)], { openai: [at('openai-month', 9)] })).toBe(
      "anthropic: not the cheapest of 3 able backends at $0.00200 expected; openai at $0.00100 counts $0.00900 more at openai-month's shadow price of 9",
    );
  });
});

describe('what a difference counts', () => {
  const pair = [candidate('local', 0.82, 0.0004), candidate('cloud', 0.87, 0.0124)];

  it('at several shadow prices is their sum, by the budgets that make it', () => {
    expect(sentence({}, pair, { '*': [at('org-day', 0.55), at('eng-month', 0.9), at('wide', 0.001)] })).toBe(
      'local: .82 expected quality at $0.0004; cloud would add .05, worth $0.020 here, for $0.0120 more, which counts $0.0294 at the shadow prices of eng-month (.9) and org-day (.55) together',
    );
    const many = ['a', 'b', 'c', 'd', 'e'].map((id, i) => at(id, 1 + i / 10));
    expect(sentence({}, pair, { '*': many })).toContain(
      'at the shadow prices of e (1.4), d (1.3), c (1.2) and 2 more together',
    );
  });

  it('for others that wait and for coming late stands beside what money counts', () => {
    const [local, cloud] = pair as [ScoreCandidate, ScoreCandidate];
    const own = { ...cloud, cashUsd: 0, marginalUsd: 0.0004, gpuSeconds: 2, usdPerGpuSecond: 0.01, lateSeconds: 1 };
    const policyOf = { usdPerSecondLate: 0.003 };
    expect(sentence(policyOf, [local, own], { '*': [at('eng-month', 0.5)] })).toBe(
      "local: .82 expected quality at $0.0004; cloud would add .05, worth $0.020 here, for $0 more, but counts $0.0002 less at eng-month's shadow price of .5, and $0.0200 more for the others it would keep waiting and $0.0030 more for coming late",
    );
    expect(sentence(policyOf, [local, { ...own, gpuSeconds: 2e-3, lateSeconds: 7 }])).toBe(
      'local: .82 expected quality at $0.0004; cloud would add .05, worth $0.020 here, for $0 more, and $0.0210 more for coming late',
    );
  });

  it('may be more where the cost is less, when other budgets pay', () => {
    expect(sentence({}, [candidate('a', 0.8, 0.002), candidate('b', 0.8, 0.001)], { b: [at('b-month', 9)] })).toBe(
      "a: .8 expected quality at $0.00200; b would add nothing, worth $0 here, and save $0.00100, but counts $0.00800 more at b-month's shadow price of 9",
    );
    expect(sentence({}, [candidate('a', 0.9, 0.002), candidate('b', 0.8, 0.001)], { '*': [at('month', 9)] })).toContain(
      "and save $0.0010, which counts $0.0100 at month's shadow price of 9",
    );
  });
});
