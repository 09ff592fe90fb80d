import { seededRandom } from '@meritorder/kernel';
import { emptyOrgQuality, learnOutcome, predictQuality, readPrompt } from '@meritorder/quality-core';
import { DEFAULT_EXPLORATION, decide } from '@meritorder/routing-core';
import { quantile } from './pairs.js';
import { cloudCandidate, valuePolicy } from './scored-candidate.js';

const BACKENDS = 50;
const BUDGETS = 8;
/** About 1,000 tokens of English. */
const WORDS = 750;
const OUTCOMES = 200;
const WARM_UP = 5_000;
const DECISIONS = 20_000;

/** One decision, all of it: the prompt read, 50 qualities predicted, 8 shadow prices added for each, scored, explored. */
export function benchDecision(): { decisionP50Us: number; decisionP99Us: number } {
  const random = seededRandom(1);
  const vocabulary = Array.from({ length: 3_000 }, () => word(random));
  const prompt = (): string =>
    Array.from({ length: WORDS }, () => vocabulary[Math.floor(random() ** 2 * vocabulary.length)]!).join(' ');
  const prompts = Array.from({ length: 200 }, prompt);
  const state = emptyOrgQuality(0);
  const backends = Array.from({ length: BACKENDS }, (_, i) => ({
    id: `backend-${i}`,
    costUsd: 10 ** (-5 + 3 * random()),
  }));
  const tags = ['chat', 'chat/summary'];
  for (let i = 0; i < OUTCOMES; i++) {
    const context = { tags, prompt: readPrompt(prompts[i % prompts.length]!) };
    for (const { id } of backends) learnOutcome(state, { model: id, context, quality: random() }, 0);
  }
  const prices = Float64Array.from({ length: BUDGETS }, () => random());
  const policy = { ...valuePolicy(0.01, 0.1), exploration: DEFAULT_EXPLORATION };
  const timesUs: number[] = [];
  for (let i = 0; i < WARM_UP + DECISIONS; i++) {
    const text = prompts[i % prompts.length]!;
    const started = process.hrtime.bigint();
    const context = { tags, prompt: readPrompt(text) };
    const candidates = backends.map(({ id, costUsd }) => {
      const { quality, variance } = predictQuality(state, id, context);
      let shadowPrice = 0;
      for (let b = 0; b < BUDGETS; b++) shadowPrice += prices[b]!;
      return cloudCandidate(id, { quality, variance, costUsd, shadowPrice });
    });
    decide(policy, candidates, { holdOut: 0.5, explore: 0.5, replica: 0.5 });
    const elapsedUs = Number(process.hrtime.bigint() - started) / 1_000;
    if (i >= WARM_UP) timesUs.push(elapsedUs);
  }
  return { decisionP50Us: quantile(timesUs, 0.5), decisionP99Us: quantile(timesUs, 0.99) };
}

function word(random: () => number): string {
  const letters = Array.from({ length: 2 + Math.floor(random() * 8) }, () => 97 + Math.floor(random() * 26));
  return String.fromCharCode(...letters);
}
