import { readFileSync } from 'node:fs';

/** A prompt with what every model would have answered: judged reward and real cost, by model in the order of `models`. */
export interface JudgedPrompt {
  /** The caller's tag: where the prompt came from; '' when the file does not say. */
  tag: string;
  characters: number;
  rewards: number[];
  costsNanos: number[];
}

export interface JudgedPrompts {
  models: string[];
  prompts: JudgedPrompt[];
}

interface Line {
  prompt: string;
  source?: string;
  arms: Record<string, { reward: number; cost: number }>;
}

/**
 * Reads JSON lines of `prompt`, `arms: {model: {reward, cost in USD}}` and, where there is one, `source`.
 * @throws Error that names the line when a model is missing from it or a number is not one.
 */
export function readRewards(path: string): JudgedPrompts {
  const lines = readFileSync(path, 'utf8').split(/\r?\n/);
  const prompts: JudgedPrompt[] = [];
  let models: string[] = [];
  for (const [index, text] of lines.entries()) {
    if (text.trim() === '') continue;
    const line = JSON.parse(text) as Line;
    if (models.length === 0) models = Object.keys(line.arms ?? {}).toSorted();
    const arms = models.map((model) => line.arms?.[model]);
    if (arms.some((arm) => !arm || !Number.isFinite(arm.reward) || !(arm.cost >= 0) || !Number.isFinite(arm.cost)))
      throw new Error(`${path}: line ${index + 1} has no reward and cost for each of ${models.join(', ')}`);
    prompts.push({
      tag: line.source ?? '',
      characters: String(line.prompt ?? '').length,
      rewards: arms.map((arm) => arm!.reward),
      costsNanos: arms.map((arm) => Math.ceil(arm!.cost * 1e9)),
    });
  }
  if (models.length < 2 || prompts.length < 40) throw new Error(`${path}: needs at least 2 models and 40 prompts`);
  return { models, prompts };
}
