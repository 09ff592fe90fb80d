import { seededRandom } from '@meritorder/kernel';
import { emptyOrgQuality, learnOutcome, predictQuality, readPrompt } from '@meritorder/quality-core';
import type { Pair } from './routing-data.js';
import { meanOf, shuffled } from './yardsticks.js';

export interface PairsResult {
  readonly apgr: number;
  /** 95 %, bootstrap over prompts. */
  readonly apgrLow: number;
  readonly apgrHigh: number;
  readonly longestPromptApgr: number;
  readonly gainOverLongestLow: number;
  readonly gainOverLongestHigh: number;
  readonly oracleApgr: number;
  /** Of the way from random (.5) to the oracle. */
  readonly apgrGapShare: number;
  readonly pairs: number;
}

const FOLDS = 10;
const REPEATS = 5;
const RESAMPLES = 1_000;

/**
 * Average performance gap recovered: the strong model's share of the requests goes from 0 to 1, those first that promise the
 * largest gain; each time the share of the gap between weak and strong that is recovered; their mean (trapezoids).
 */
export function apgrOf(pairs: readonly Pair[], promise: readonly number[]): number {
  const gap = pairs.reduce((sum, pair) => sum + pair.strong - pair.weak, 0);
  const order = pairs.map((_, i) => i).sort((a, b) => promise[b]! - promise[a]! || a - b);
  let recovered = 0;
  let area = 0;
  for (const i of order) {
    const next = recovered + pairs[i]!.strong - pairs[i]!.weak;
    area += (recovered + next) / 2;
    recovered = next;
  }
  return area / (gap * pairs.length);
}

/**
 * What a learner that was trained on the other nine tenths expects the strong model to gain, by prompt; no tag, the prompt's
 * text alone; both models' answers are learned. The mean of five seeded repeats.
 */
export function crossValidated(pairs: readonly Pair[]): number[] {
  const contexts = pairs.map(({ prompt }) => ({ tags: [], prompt: readPrompt(prompt) }));
  const promise = pairs.map(() => 0);
  for (let repeat = 1; repeat <= REPEATS; repeat++) {
    const order = shuffled(pairs.length, seededRandom(repeat));
    for (let fold = 0; fold < FOLDS; fold++) {
      const state = emptyOrgQuality(0);
      order.forEach((i, at) => {
        if (at % FOLDS === fold) return;
        for (const model of ['weak', 'strong'] as const)
          learnOutcome(state, { model, context: contexts[i]!, quality: pairs[i]![model] }, 0);
      });
      order.forEach((i, at) => {
        if (at % FOLDS !== fold) return;
        const expected = (model: string): number => predictQuality(state, model, contexts[i]!).uncalibrated;
        promise[i] = promise[i]! + (expected('strong') - expected('weak')) / REPEATS;
      });
    }
  }
  return promise;
}

export function benchPairs(pairs: readonly Pair[]): PairsResult {
  const promise = crossValidated(pairs);
  const longest = pairs.map(({ prompt }) => prompt.length);
  const oracle = pairs.map(({ weak, strong }) => strong - weak);
  const random = seededRandom(1);
  const own: number[] = [];
  const gains: number[] = [];
  for (let i = 0; i < RESAMPLES; i++) {
    const drawn = pairs.map(() => Math.floor(random() * pairs.length));
    const sample = drawn.map((k) => pairs[k]!);
    const apgr = apgrOf(
      sample,
      drawn.map((k) => promise[k]!),
    );
    own.push(apgr);
    gains.push(
      apgr -
        apgrOf(
          sample,
          drawn.map((k) => longest[k]!),
        ),
    );
  }
  const [apgr, oracleApgr] = [apgrOf(pairs, promise), apgrOf(pairs, oracle)];
  return {
    apgr,
    apgrLow: quantile(own, 0.025),
    apgrHigh: quantile(own, 0.975),
    longestPromptApgr: apgrOf(pairs, longest),
    gainOverLongestLow: quantile(gains, 0.025),
    gainOverLongestHigh: quantile(gains, 0.975),
    oracleApgr,
    apgrGapShare: (apgr - 0.5) / (oracleApgr - 0.5),
    pairs: pairs.length,
  };
}

export const accuracyOf = (pairs: readonly Pair[], model: 'weak' | 'strong'): number =>
  meanOf(pairs.map((pair) => pair[model]));

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
