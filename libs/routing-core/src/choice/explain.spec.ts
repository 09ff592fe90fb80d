import type { DecisionPolicy } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { decide } from './decide.js';
import { explain } from './explain.js';
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
function sentence(of: Partial<DecisionPolicy>, candidates: ScoreCandidate[], shadowPrice = 0): string {
  const decision = decide(policy(of), candidates, { holdOut: 0.5, explore: 0.5, replica: 0.5 });
  return explain(policy(of), decision, decision.order[0]!, [], () =>
    shadowPrice > 0 ? { budget: 'eng-month', shadowPrice } : undefined,
  );
}

describe('the sentence for people', () => {
  it('is to the letter that of the worked example: economics, section 1', () => {
    const scarce = { shadowCash: 0.9 };
    expect(
      sentence({}, [candidate('llama-70b', 0.82, 0.0004, scarce), candidate('gpt-4-turbo', 0.87, 0.0124, scarce)], 0.9),
    ).toBe(
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
      'a: the cheapest of 2 able backends at $0.00100 expected; next b at $0.00010; b may cost more than a budget can spare',
    );
  });
});
