import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { newLearner, serveWindow, trainOn } from './budgeted-stream.js';
import { apgrOf } from './pairs.js';
import { readCsv, type JudgedPrompt } from './routing-data.js';
import { bestMix, oracleReward } from './yardsticks.js';

const judged = (rewards: number[], costsUsd: number[], tag = 'a'): JudgedPrompt => ({
  prompt: `a prompt of ${tag}`,
  tags: [tag],
  rewards,
  costsUsd,
});

describe('the yardsticks', () => {
  it('random mixing is a point on the line between two models, at the whole budget', () => {
    const prompts = [judged([0.4, 0.8], [1, 3])];
    expect(bestMix(prompts, 2).reward).toBeCloseTo(0.6, 12);
    expect(bestMix(prompts, 9).reward).toBeCloseTo(0.8, 12);
    expect(() => bestMix(prompts, 0.5)).toThrow(/no model costs/);
  });

  it('the oracle buys the dear answer where it gains most', () => {
    const prompts = [judged([0.4, 0.9], [1, 3]), judged([0.8, 0.9], [1, 3])];
    expect(oracleReward(prompts, 2)).toBeCloseTo((0.9 + 0.8) / 2, 12);
  });

  it('APGR is 1/2 for what does not tell prompts apart, and above for what does', () => {
    const pairs = Array.from({ length: 100 }, (_, i) => ({ prompt: '', weak: i % 2, strong: 1 }));
    expect(
      apgrOf(
        pairs,
        pairs.map((_, i) => Math.floor(i / 2)),
      ),
    ).toBeCloseTo(0.5, 1);
    expect(
      apgrOf(
        pairs,
        pairs.map((pair) => -pair.weak),
      ),
    ).toBeCloseTo(0.75, 12);
  });

  it('CSV fields may hold commas, quotes and lines', () => {
    expect(readCsv('a,"b, ""c""\nd",e\nf,g,h')).toEqual([
      ['a', 'b, "c"\nd', 'e'],
      ['f', 'g', 'h'],
    ]);
  });
});

describe('a window under a budget', () => {
  it('is never overspent, whatever the costs turn out to be, and leaves nobody unserved who could be served cheaply', () => {
    const random = seededRandom(5);
    const drawn = (count: number, factor: number): JudgedPrompt[] =>
      Array.from({ length: count }, () =>
        judged([0.5 + 0.2 * random(), 0.7 + 0.3 * random()], [1e-5, factor * 1e-3 * Math.exp(4 * random() - 2)]),
      );
    const learner = newLearner(['cheap', 'dear']);
    const seen = drawn(200, 1);
    trainOn(learner, seen);
    for (const factor of [1, 2]) {
      const result = serveWindow(learner, seen, drawn(200, factor), 3e-4, 1);
      expect([result.overspendUsd, result.rejected]).toEqual([0, 0]);
      expect(result.spentUsd).toBeGreaterThan(0.5 * 200 * 3e-4);
    }
  });
});
