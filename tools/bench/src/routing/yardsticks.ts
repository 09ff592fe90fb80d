import type { JudgedPrompt } from './routing-data.js';

export const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

export function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1));
}

/** A seeded shuffle (Fisher-Yates) of 0..count-1. */
export function shuffled(count: number, random: () => number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** Model m in a share of the requests. */
export type Mix = readonly { model: number; share: number }[];

/**
 * The best mix of at most two models that chance could have drawn with this mean cost, chosen with all answers known: a point
 * on the upper hull of (cost, reward). It may spend the whole budget, to the last cent.
 */
export function bestMix(prompts: readonly JudgedPrompt[], usdPerRequest: number): { mix: Mix; reward: number } {
  const models = prompts[0]!.rewards.map((_, model) => ({
    model,
    cost: meanOf(prompts.map((p) => p.costsUsd[model]!)),
    reward: meanOf(prompts.map((p) => p.rewards[model]!)),
  }));
  let best: { mix: Mix; reward: number } | undefined;
  const offer = (mix: Mix, reward: number): void => {
    if (best === undefined || reward > best.reward) best = { mix, reward };
  };
  for (const low of models) {
    if (low.cost > usdPerRequest) continue;
    offer([{ model: low.model, share: 1 }], low.reward);
    for (const high of models) {
      if (high.cost <= usdPerRequest) continue;
      const share = (usdPerRequest - low.cost) / (high.cost - low.cost);
      offer(
        [
          { model: low.model, share: 1 - share },
          { model: high.model, share },
        ],
        low.reward + share * (high.reward - low.reward),
      );
    }
  }
  if (best === undefined) throw new Error(`no model costs as little as ${usdPerRequest} USD a request`);
  return best;
}

/** The price of quality at which always choosing the best of (value - price * cost) spends the budget: reward per USD. */
export function priceFor(
  options: readonly { readonly values: readonly number[]; readonly costs: readonly number[] }[],
  usdPerRequest: number,
): number {
  const meanCost = (price: number): number =>
    options.reduce((sum, { values, costs }) => sum + costs[argBest(values, costs, price)]!, 0) / options.length;
  if (meanCost(0) <= usdPerRequest) return 0;
  let [low, high] = [1e-3, 1e7];
  for (let i = 0; i < 40; i++) {
    const middle = Math.sqrt(low * high);
    if (meanCost(middle) > usdPerRequest) low = middle;
    else high = middle;
  }
  return high;
}

export function argBest(values: readonly number[], costs: readonly number[], price: number): number {
  let best = 0;
  for (let i = 1; i < values.length; i++)
    if (values[i]! - price * costs[i]! > values[best]! - price * costs[best]!) best = i;
  return best;
}

/** Every answer known: the best mean reward within the mean cost, up to one request. */
export function oracleReward(prompts: readonly JudgedPrompt[], usdPerRequest: number): number {
  const price = priceFor(
    prompts.map(({ rewards, costsUsd }) => ({ values: rewards, costs: costsUsd })),
    usdPerRequest,
  );
  return meanOf(prompts.map(({ rewards, costsUsd }) => rewards[argBest(rewards, costsUsd, price)]!));
}
