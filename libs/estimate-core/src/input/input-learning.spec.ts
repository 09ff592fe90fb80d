import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { estimateInput } from './estimate-input.js';
import {
  inputCoverage,
  inputMargin,
  inputPrior,
  learnInput,
  UNLEARNED_INPUT,
  weighInput,
  type InputFeatures,
  type InputLearning,
} from './input-learning.js';
import { readInput } from './input-reading.js';

const prior = inputPrior(false, undefined);

/** A provider whose tokenizer and template nobody published, and requests of all kinds. */
function world(seed: number) {
  const random = seededRandom(seed);
  const noise = (): number => 0.94 + 0.12 * random();
  const truth = { ratio: 1.31, tools: 0.7, message: 9, image: 258, preamble: 346 };
  const request = (): InputFeatures => ({
    text: Math.floor(20 * 400 ** random()),
    tools: random() < 0.3 ? Math.floor(200 + 2_000 * random()) : 0,
    messages: 1 + Math.floor(12 * random()),
    images: random() < 0.2 ? 1 + Math.floor(3 * random()) : 0,
  });
  const report = (f: InputFeatures): number =>
    Math.round(
      f.text * truth.ratio * noise() +
        f.tools * truth.tools +
        f.messages * truth.message +
        f.images * truth.image +
        (f.tools > 0 ? truth.preamble : 0) +
        5,
    );
  return { truth, request, report };
}

function learnMany(seed: number, requests: number): InputLearning {
  const { request, report } = world(seed);
  let state = UNLEARNED_INPUT;
  for (let i = 0; i < requests; i++) {
    const features = request();
    state = learnInput(state, { features, reportedTokens: report(features) }, prior);
  }
  return state;
}

describe('what reported usage teaches of the input', () => {
  it('finds the weights of text, tools, messages and images of a provider that published none of them', () => {
    const [text, tools, messages, images, preamble] = learnMany(1, 600).weights!;
    expect(text).toBeCloseTo(1.31, 1);
    expect(Math.abs(tools - 0.7)).toBeLessThan(0.1);
    expect(Math.abs(messages - 9)).toBeLessThan(2);
    expect(Math.abs(images - 258)).toBeLessThan(40);
    expect(Math.abs(preamble - 346)).toBeLessThan(100);
  });

  it('brings the mean error of later estimates from above 20 % to below 5 %', () => {
    const state = learnMany(2, 300);
    const { request, report } = world(3);
    const errors = Array.from({ length: 500 }, request).map((features) => {
      const actual = report(features);
      return [state.weights!, prior.weights].map((weights) => Math.abs(weighInput(features, weights) / actual - 1));
    });
    const mean = (i: 0 | 1): number => errors.reduce((sum, e) => sum + e[i]!, 0) / errors.length;
    expect(mean(1)).toBeGreaterThan(0.2);
    expect(mean(0)).toBeLessThan(0.05);
  });

  it('says how many of the later reports its upper covered: judged before it learns from them (pitfall 39)', () => {
    let state = UNLEARNED_INPUT;
    expect(inputCoverage(state)).toBeUndefined();
    const features = { text: 100, tools: 0, messages: 1, images: 0 };
    for (let i = 0; i < 40; i++)
      state = learnInput(state, { features, reportedTokens: 110, upperTokens: i % 4 === 0 ? 105 : 120 }, prior);
    expect(inputCoverage(state)).toBeCloseTo(0.75, 1);
  });

  it('trusts its spread after 24 reports, and no absurd report moves it far', () => {
    expect(inputMargin(learnMany(4, 23))).toBeUndefined();
    const calm = learnMany(4, 400);
    expect(inputMargin(calm)!).toBeLessThan(1.5);
    const features = { text: 1_000, tools: 0, messages: 1, images: 0 };
    const once = learnInput(calm, { features, reportedTokens: 9_000_000 }, prior);
    expect(weighInput(features, once.weights!) / weighInput(features, calm.weights!)).toBeLessThan(1.2);
    expect(learnInput(calm, { features, reportedTokens: 0 }, prior)).toBe(calm);
  });

  it('takes nothing from a request with a file or audio, of which no text tells the tokens', () => {
    const calm = learnMany(4, 400);
    const features = { text: 100, tools: 0, messages: 1, images: 0, unlearned: 5_000 };
    expect(learnInput(calm, { features, reportedTokens: 90_000, upperTokens: 10 }, prior)).toBe(calm);
    expect(weighInput(features, prior.weights)).toBe(weighInput({ ...features, unlearned: 0 }, prior.weights) + 5_000);
  });

  it('follows a provider that changed its tokenizer', () => {
    let state = learnMany(5, 500);
    const { request, report } = world(6);
    for (let i = 0; i < 1_500; i++) {
      const features = request();
      state = learnInput(state, { features, reportedTokens: Math.round(report(features) * 1.35) }, prior);
    }
    const text = { text: 5_000, tools: 0, messages: 1, images: 0 };
    expect(weighInput(text, state.weights!) / (report(text) * 1.35)).toBeCloseTo(1, 1);
  });

  it('stays finite and of one size as JSON, whatever was never seen', () => {
    let state = UNLEARNED_INPUT;
    const features = { text: 0, tools: 0, messages: 1, images: 0 };
    for (let i = 0; i < 20_000; i++) state = learnInput(state, { features, reportedTokens: 9 }, prior);
    expect(state.weights!.every((w) => Number.isFinite(w) && w >= 0)).toBe(true);
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
    expect(JSON.stringify(state).length).toBeLessThan(1_500);
  });

  it('is what an estimate without a tokenizer rests on, and says it', () => {
    const parts = {
      texts: ['hello '.repeat(3_000)],
      toolTexts: [],
      messages: 1,
      tools: 0,
      builtInTools: 0,
      images: 0,
      files: 0,
      audios: 0,
      others: 0,
      unknownBytes: 0,
    };
    const reading = readInput(parts);
    const settings = { templateTokensPerMessage: 16 };
    const before = estimateInput(reading, settings, undefined);
    const after = estimateInput(reading, settings, undefined, learnMany(7, 300));
    expect([before.basis, after.basis]).toEqual(['classes', 'learned']);
    expect(after.expected / before.expected).toBeCloseTo(1.31, 1);
    expect(after.upper).toBeLessThan(after.bound!);
    expect(after.upper).toBeLessThan(before.upper);
  });
});
