import { seededRandom } from '@meritorder/kernel';
import {
  emptyMagnitude,
  emptyOrgQuality,
  learnMagnitude,
  learnOutcome,
  predictMagnitude,
  predictQuality,
  readPrompt,
  UNKNOWN_PRIOR,
} from '@meritorder/quality-core';
import { choose, DEFAULT_EXPLORATION, scoreCandidates } from '@meritorder/routing-core';
import type { ArenaSet } from './routing-data.js';
import { cloudCandidate, valuePolicy } from './scored-candidate.js';
import { bestMix, meanOf, oracleReward, shuffled } from './yardsticks.js';

export interface ArenaResult {
  /** Share of the requests after warm-up that go to models that another one beats on both mean score and mean cost. */
  readonly dominatedShare: number;
  readonly dominatedShareWorstOrder: number;
  readonly dominatedShareWhileWarmingUp: number;
  readonly dominated: readonly string[];
  readonly warmUpRequests: number;
  readonly arenaReward: number;
  readonly arenaRandomMix: number;
  readonly arenaOracle: number;
  readonly arenaGapShare: number;
  readonly orders: number;
}

/** What a right answer is taken to be worth: a tenth of a cent lies far above the cost of any of these answers. */
const USD_PER_QUALITY = 0.01;
/** What is believed of every model before its first answer: as good as nothing, since every answer is judged. */
const PRIOR = { quality: UNKNOWN_PRIOR.quality, outcomes: 1 };
const CHARACTERS_PER_TOKEN = 4;
/** Before any answer: what is assumed of its length. */
const OUTPUT_TOKENS = 300;

/** From nothing known but the price list, in many seeded orders; only the chosen model's answer is learned. */
export function benchArena(set: ArenaSet, orders: number): ArenaResult {
  const means = set.models.map((_, m) => ({
    cost: meanOf(set.prompts.map((p) => p.costsUsd[m]!)),
    reward: meanOf(set.prompts.map((p) => p.rewards[m]!)),
  }));
  const isDominated = means.map((own) => means.some((other) => other.cost < own.cost && other.reward > own.reward));
  const warmUpRequests = Math.min(200, Math.floor(set.prompts.length / 4));
  const runs = Array.from({ length: orders }, (_, seed) => serve(set, seed + 1));
  const shareOf = (chosen: readonly number[]): number => meanOf(chosen.map((m) => (isDominated[m] ? 1 : 0)));
  const after = runs.map(({ chosen }) => shareOf(chosen.slice(warmUpRequests)));
  const rewards = runs.map((run) => run.reward);
  const budgets = runs.map((run) => run.usdPerRequest);
  const mix = meanOf(budgets.map((budget) => bestMix(set.prompts, budget).reward));
  const oracle = meanOf(budgets.map((budget) => oracleReward(set.prompts, budget)));
  return {
    dominatedShare: meanOf(after),
    dominatedShareWorstOrder: Math.max(...after),
    dominatedShareWhileWarmingUp: meanOf(runs.map(({ chosen }) => shareOf(chosen.slice(0, warmUpRequests)))),
    dominated: set.models.filter((_, m) => isDominated[m]),
    warmUpRequests,
    arenaReward: meanOf(rewards),
    arenaRandomMix: mix,
    arenaOracle: oracle,
    arenaGapShare: (meanOf(rewards) - mix) / (oracle - mix),
    orders,
  };
}

function serve(set: ArenaSet, seed: number): { chosen: number[]; reward: number; usdPerRequest: number } {
  const random = seededRandom(seed);
  const quality = emptyOrgQuality(0);
  const costs = set.models.map(() => emptyMagnitude());
  const chosen: number[] = [];
  let reward = 0;
  let spentUsd = 0;
  for (const i of shuffled(set.prompts.length, random)) {
    const row = set.prompts[i]!;
    const context = { tags: row.tags, prompt: readPrompt(row.prompt) };
    const candidates = set.models.map((id, m) => {
      const { quality: expected, variance } = predictQuality(quality, id, context, PRIOR);
      const costUsd = predictMagnitude(costs[m]!, context) ?? listedUsd(set, m, row.prompt);
      return cloudCandidate(id, { quality: expected, variance, costUsd, shadowPrice: 0 });
    });
    const { scored } = scoreCandidates(valuePolicy(USD_PER_QUALITY), candidates);
    const choice = choose(
      scored,
      undefined,
      { ...DEFAULT_EXPLORATION, holdOutShare: 0 },
      { holdOut: 1, explore: random() },
    );
    const m = set.models.indexOf(choice.chosen.candidate.id);
    chosen.push(m);
    reward += row.rewards[m]!;
    spentUsd += row.costsUsd[m]!;
    learnOutcome(quality, { model: set.models[m]!, context, quality: row.rewards[m]!, prior: PRIOR }, 0);
    learnMagnitude(costs[m]!, context, row.costsUsd[m]!);
  }
  return { chosen, reward: reward / chosen.length, usdPerRequest: spentUsd / chosen.length };
}

function listedUsd({ prices }: ArenaSet, model: number, prompt: string): number {
  const own = prices[model];
  return own === undefined ? 0 : (own.input * prompt.length) / CHARACTERS_PER_TOKEN + own.output * OUTPUT_TOKENS;
}
