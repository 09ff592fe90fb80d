import { seededRandom } from '@meritorder/kernel';
import { newLearner, serveWindow, trainOn, type StreamResult } from './budgeted-stream.js';
import type { JudgedPrompt, JudgedSet } from './routing-data.js';
import { bestMix, deviationOf, meanOf, oracleReward, shuffled } from './yardsticks.js';

export interface BudgetResult {
  readonly usdPerRequest: number;
  readonly reward: number;
  readonly randomMix: number;
  readonly oracle: number;
  /** Mean paired gain over random mixing at the whole budget, and its 95 % interval over runs. */
  readonly gain: number;
  readonly gainLow: number;
  readonly gainHigh: number;
  /** The same, wider: as if every run had been on prompts of its own (Nadeau and Bengio 2003), or over prompts. */
  readonly gainLowCorrected: number;
  readonly gainHighCorrected: number;
  readonly gapShare: number;
  readonly spentShare: number;
  readonly maxOverspendUsd: number;
  readonly rejectedShare: number;
  readonly exploredShare: number;
  readonly runs: number;
}

interface Run {
  readonly result: StreamResult;
  readonly reward: number;
  readonly mix: number;
  readonly oracle: number;
  readonly requests: number;
}

const NORMAL_95 = 1.959964;
type Uses = { tags: boolean; text: boolean };

/** Learns one half and serves the other, over many seeded splits. */
export function halves(set: JudgedSet, budgets: readonly number[], splits: number, uses: Uses): BudgetResult[] {
  const runs: Run[][] = budgets.map(() => []);
  for (let split = 0; split < splits; split++) {
    const order = shuffled(set.prompts.length, seededRandom(split + 1));
    const half = Math.floor(order.length / 2);
    const train = order.slice(0, half).map((i) => set.prompts[i]!);
    const test = order.slice(half).map((i) => set.prompts[i]!);
    const learner = newLearner(set.models, uses);
    trainOn(learner, train);
    budgets.forEach((budget, k) =>
      runs[k]!.push(runOf(serveWindow(learner, train, test, budget, split + 1), test, budget)),
    );
  }
  return budgets.map((budget, k) => {
    const deviation = deviationOf(runs[k]!.map((run) => run.reward - run.mix));
    return summary(budget, runs[k]!, deviation / Math.sqrt(splits), deviation * Math.sqrt(1 / splits + 1));
  });
}

/** Learns one file and serves another, in many seeded orders. The wider interval is over prompts. */
export function trainThenTest(
  train: JudgedSet,
  test: JudgedSet,
  budgets: readonly number[],
  orders: number,
  uses: Uses,
): BudgetResult[] {
  if (train.models.join() !== test.models.join()) throw new Error('the two files are not of the same models');
  const learner = newLearner(train.models, uses);
  const order = shuffled(train.prompts.length, seededRandom(0));
  const seen = order.map((i) => train.prompts[i]!);
  trainOn(learner, seen);
  return budgets.map((budget) => {
    const { mix } = bestMix(test.prompts, budget);
    const gains = test.prompts.map(() => 0);
    const runs: Run[] = [];
    for (let seed = 1; seed <= orders; seed++) {
      const places = shuffled(test.prompts.length, seededRandom(seed));
      const window = places.map((i) => test.prompts[i]!);
      const result = serveWindow(learner, seen, window, budget, seed);
      places.forEach((i, at) => {
        const mixed = mix.reduce((sum, { model, share }) => sum + share * test.prompts[i]!.rewards[model]!, 0);
        gains[i] = gains[i]! + (result.rewards[at]! - mixed) / orders;
      });
      runs.push(runOf(result, window, budget));
    }
    const overOrders = deviationOf(runs.map((run) => run.reward - run.mix)) / Math.sqrt(orders);
    return summary(budget, runs, overOrders, deviationOf(gains) / Math.sqrt(gains.length));
  });
}

function runOf(result: StreamResult, window: readonly JudgedPrompt[], budget: number): Run {
  return {
    result,
    reward: meanOf(result.rewards),
    mix: bestMix(window, budget).reward,
    oracle: oracleReward(window, budget),
    requests: window.length,
  };
}

function summary(usdPerRequest: number, runs: readonly Run[], error: number, correctedError: number): BudgetResult {
  const mean = (of: (run: Run) => number): number => meanOf(runs.map(of));
  const [reward, randomMix, oracle] = [mean((r) => r.reward), mean((r) => r.mix), mean((r) => r.oracle)];
  const gain = reward - randomMix;
  return {
    usdPerRequest,
    reward,
    randomMix,
    oracle,
    gain,
    gainLow: gain - NORMAL_95 * error,
    gainHigh: gain + NORMAL_95 * error,
    gainLowCorrected: gain - NORMAL_95 * correctedError,
    gainHighCorrected: gain + NORMAL_95 * correctedError,
    gapShare: gain / (oracle - randomMix),
    spentShare: mean((r) => r.result.spentUsd / (usdPerRequest * r.requests)),
    maxOverspendUsd: Math.max(...runs.map((r) => r.result.overspendUsd)),
    rejectedShare: mean((r) => r.result.rejected / r.requests),
    exploredShare: mean((r) => r.result.explored / r.requests),
    runs: runs.length,
  };
}
