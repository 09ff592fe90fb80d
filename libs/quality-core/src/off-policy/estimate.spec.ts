import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { estimateOffPolicy, type LoggedDecision } from './estimate.js';

const QUALITY = [0.6, 0.8, 0.7];
const LOGGED = [0.8, 0.15, 0.05];
const POLICY = [0.1, 0.7, 0.2];
/** What a model fitted before expects: wrong, so that the doubly robust estimate has something to repair. */
const MODELLED = [0.65, 0.7, 0.75];
const TRUTH = QUALITY.reduce((sum, quality, i) => sum + quality * POLICY[i]!, 0);
const MODELLED_POLICY = MODELLED.reduce((sum, quality, i) => sum + quality * POLICY[i]!, 0);

function logOf(length: number, random: () => number): LoggedDecision[] {
  return Array.from({ length }, () => {
    const draw = random();
    const choice = draw < LOGGED[0]! ? 0 : draw < LOGGED[0]! + LOGGED[1]! ? 1 : 2;
    return {
      probability: LOGGED[choice]!,
      policyProbability: POLICY[choice]!,
      outcome: random() < QUALITY[choice]! ? 1 : 0,
      expectedOfLogged: MODELLED[choice]!,
      expectedOfPolicy: MODELLED_POLICY,
    };
  });
}

describe('off-policy estimates', () => {
  it('have 95 % intervals that cover a known truth in 93 to 97 % of 1,000 logs', () => {
    const random = seededRandom(9);
    const covered = { ips: 0, snips: 0, doublyRobust: 0 };
    for (let i = 0; i < 1_000; i++) {
      const result = estimateOffPolicy(logOf(2_000, random));
      if (!result.enough) throw new Error('too small');
      for (const key of ['ips', 'snips', 'doublyRobust'] as const)
        if (result[key].low <= TRUTH && TRUTH <= result[key].high) covered[key]++;
    }
    for (const count of Object.values(covered)) expect(count).toBeGreaterThanOrEqual(930);
    for (const count of Object.values(covered)) expect(count).toBeLessThanOrEqual(970);
  });

  it('are refused when the effective sample is below 200, and say how large it is', () => {
    const result = estimateOffPolicy(logOf(300, seededRandom(1)));
    expect(result.enough).toBe(false);
    expect(result.effectiveSample).toBeLessThan(200);
    expect(estimateOffPolicy([])).toEqual({ enough: false, effectiveSample: 0 });
  });

  it('cut weights at 50 and say what share was cut', () => {
    const rare: LoggedDecision = {
      probability: 0.001,
      policyProbability: 1,
      outcome: 1,
      expectedOfLogged: 1,
      expectedOfPolicy: 1,
    };
    const result = estimateOffPolicy(Array.from({ length: 400 }, () => rare));
    expect(result).toMatchObject({ enough: true, clippedShare: 1, ips: { value: 50 }, snips: { value: 1 } });
  });

  it('refuse a log without probabilities', () => {
    expect(() => estimateOffPolicy([{ ...logOf(1, seededRandom(1))[0]!, probability: 0 }])).toThrow(/was not made/);
  });
});
