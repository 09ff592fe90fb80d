import { seededRandom } from '@meritorder/kernel';
import { expect, it } from 'vitest';
import { NO_PROMPT, readPrompt } from '../prompt/prompt-features.js';
import { emptyMagnitude, learnMagnitude, predictMagnitude } from './magnitude.js';

it('expects the mean, not the median, of a skewed cost', () => {
  const random = seededRandom(1);
  const own = emptyMagnitude();
  const values = Array.from({ length: 3_000 }, () => Math.exp(1.2 * (random() + random() + random() - 1.5) * 2));
  for (const value of values) learnMagnitude(own, { tags: ['a'], prompt: NO_PROMPT }, value);
  const mean = values.slice(1_000).reduce((sum, value) => sum + value, 0) / 2_000;
  expect(predictMagnitude(own, { tags: ['a'], prompt: NO_PROMPT })! / mean).toBeCloseTo(1, 0.8);
});

it('follows the length of the prompt where that is what the cost depends on', () => {
  const own = emptyMagnitude();
  const random = seededRandom(2);
  const prompt = (words: number) => ({ tags: [], prompt: readPrompt('word of a text '.repeat(words)) });
  for (let i = 0; i < 500; i++) {
    const words = 1 + Math.floor(random() * 60);
    learnMagnitude(own, prompt(words), words * (0.5 + random()));
  }
  expect(predictMagnitude(own, prompt(50))! / predictMagnitude(own, prompt(5))!).toBeGreaterThan(5);
});

it('knows nothing before the first value, and refuses what is not positive', () => {
  expect(predictMagnitude(emptyMagnitude(), { tags: [], prompt: NO_PROMPT })).toBeUndefined();
  expect(() => learnMagnitude(emptyMagnitude(), { tags: [], prompt: NO_PROMPT }, 0)).toThrow(/not above 0/);
});
