import type { JudgedPrompt } from './rewards.js';

/** What a router expects of each model for a prompt, and what it then really is. */
export interface Candidate {
  model: number;
  valueUsd: number;
  expectedUsd: number;
  reward: number;
  costNanos: number;
}

/** Pseudo-observations of the mean over all tags. Source: economics, section 3. */
const SHRINKAGE = 20;

/** A table by tag, shrunken to the mean of all, and one slope within tags on the logarithm of the prompt's length. */
interface Fit {
  mean(tag: string): number;
  slope(prompt: JudgedPrompt): number;
}

function fit(prompts: readonly JudgedPrompt[], meanOf: (p: JudgedPrompt) => number, slopeOf = meanOf): Fit {
  const average = (of: readonly JudgedPrompt[], f: (p: JudgedPrompt) => number): number =>
    of.reduce((sum, p) => sum + f(p), 0) / of.length;
  const all = average(prompts, meanOf);
  const byTag = new Map<string, { mean: number; length: number }>();
  let covariance = 0;
  let variance = 1e-9;
  for (const [tag, of] of Map.groupBy(prompts, (p) => p.tag)) {
    const [length, level] = [average(of, logLength), average(of, slopeOf)];
    byTag.set(tag, {
      mean: (average(of, meanOf) * of.length + SHRINKAGE * all) / (of.length + SHRINKAGE),
      length,
    });
    for (const p of of) {
      covariance += (logLength(p) - length) * (slopeOf(p) - level);
      variance += (logLength(p) - length) ** 2;
    }
  }
  const anyLength = average(prompts, logLength);
  return {
    mean: (tag) => byTag.get(tag)?.mean ?? all,
    slope: (p) => (covariance / variance) * (logLength(p) - (byTag.get(p.tag)?.length ?? anyLength)),
  };
}

const logLength = (p: JudgedPrompt): number => Math.log(1 + p.characters);

/** Learns from some prompts what to expect of others. @param usdPerPoint what one point of reward is worth, USD. */
export function estimator(
  known: readonly JudgedPrompt[],
  models: number,
  usdPerPoint: number,
): (p: JudgedPrompt) => Candidate[] {
  const fits = Array.from({ length: models }, (_, model) => {
    const quality = fit(known, (p) => p.rewards[model]!);
    const cost = fit(
      known,
      (p) => p.costsNanos[model]! / 1e9,
      (p) => Math.log(1 + p.costsNanos[model]!),
    );
    const raw = (p: JudgedPrompt): number => cost.mean(p.tag) * Math.exp(cost.slope(p));
    const truly = known.reduce((sum, p) => sum + p.costsNanos[model]! / 1e9, 0);
    const scale =
      truly /
      Math.max(
        1e-15,
        known.reduce((sum, p) => sum + raw(p), 0),
      );
    return { quality, expected: (p: JudgedPrompt) => raw(p) * scale };
  });
  return (p) =>
    fits.map(({ quality, expected }, model) => ({
      model,
      valueUsd: usdPerPoint * Math.min(1, Math.max(0, quality.mean(p.tag) + quality.slope(p))),
      expectedUsd: expected(p),
      reward: p.rewards[model]!,
      costNanos: p.costsNanos[model]!,
    }));
}
