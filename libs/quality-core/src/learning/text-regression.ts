import { SCALARS, WORD_BUCKETS, type PromptFeatures } from '../prompt/prompt-features.js';
import { WordTable } from './word-table.js';

/**
 * What a model's prompts say beyond their tags: a ridge regression of the residual on the scalars, solved exactly, and on what
 * is left of it a regression on hashed words with an independent Gaussian for each weight (a diagonal Kalman filter: Crammer,
 * Kulesza and Dredze 2009, for squared loss). Neither has a learning rate: a word that is well known moves little.
 * Constant size: 18 KB.
 */
export interface TextRegression {
  /** Decayed sums of x x' (SCALARS x SCALARS, row by row) and of x * residual. */
  readonly products: Float64Array;
  readonly moments: Float64Array;
  /** Solved from these. */
  readonly scalarWeights: Float64Array;
  /** Of each bucket: the weight, in its column of the table, and its variance in units of the noise. */
  readonly words: WordTable;
  readonly column: number;
  readonly wordVariances: Float32Array;
}

/**
 * Outcomes that "the text says nothing" counts as, as at every level of the table. The words of a prompt have length one
 * together. Each scalar is about one long, so the scalars of a prompt have the root of their number: without it as a factor,
 * one outcome would count as many. Not chosen by data.
 */
const RIDGE = 20;
const SCALAR_RIDGE = RIDGE * SCALARS;
const WORD_RIDGE = RIDGE;

export const UNLEARNED_WORD_VARIANCE = Math.fround(1 / WORD_RIDGE);

/** @param words where its weights are, beside those of other models */
export function emptyRegression(words = new WordTable()): TextRegression {
  return {
    products: new Float64Array(SCALARS * SCALARS),
    moments: new Float64Array(SCALARS),
    scalarWeights: new Float64Array(SCALARS),
    words,
    column: words.take(),
    wordVariances: new Float32Array(WORD_BUCKETS).fill(1 / WORD_RIDGE),
  };
}

/** What the text says: the residual to expect. */
export function textOf(own: TextRegression, { buckets, scalars }: PromptFeatures): number {
  const count = buckets.length;
  if (count === 0) return 0;
  const { words, column, scalarWeights } = own;
  const { weights, stride } = words;
  // Four sums, since each addition would wait for the one before.
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let i = 0;
  for (; i + 3 < count; i += 4) {
    first += weights[(buckets[i] as number) * stride + column] as number;
    second += weights[(buckets[i + 1] as number) * stride + column] as number;
    third += weights[(buckets[i + 2] as number) * stride + column] as number;
    fourth += weights[(buckets[i + 3] as number) * stride + column] as number;
  }
  for (; i < count; i++) first += weights[(buckets[i] as number) * stride + column] as number;
  let mean = (first + second + third + fourth) / Math.sqrt(count);
  for (let s = 0; s < SCALARS; s++) mean += (scalars[s] as number) * (scalarWeights[s] as number);
  return mean;
}

/** Learns one residual: the outcome less what the tags said. */
export function learnText(own: TextRegression, features: PromptFeatures, residual: number, weight: number): void {
  const { buckets, scalars } = features;
  const count = buckets.length;
  if (count === 0) return;
  for (let i = 0, at = 0; i < SCALARS; i++) {
    const x = weight * (scalars[i] as number);
    own.moments[i] = (own.moments[i] as number) + x * residual;
    for (let j = 0; j < SCALARS; j++, at++)
      own.products[at] = (own.products[at] as number) + x * (scalars[j] as number);
  }
  resolveRegression(own);
  let left = residual;
  for (let i = 0; i < SCALARS; i++) left -= (scalars[i] as number) * (own.scalarWeights[i] as number);
  learnWords(own, buckets, left, weight);
}

function learnWords(
  { words: { weights, stride }, column, wordVariances }: TextRegression,
  buckets: Uint16Array,
  residual: number,
  weight: number,
): void {
  const x = 1 / Math.sqrt(buckets.length);
  let mean = 0;
  let spread = 1 / weight;
  for (const bucket of buckets) {
    mean += x * (weights[bucket * stride + column] as number);
    spread += x * x * (wordVariances[bucket] as number);
  }
  const step = (residual - mean) / spread;
  for (const bucket of buckets) {
    const at = bucket * stride + column;
    const variance = wordVariances[bucket] as number;
    weights[at] = (weights[at] as number) + variance * x * step;
    wordVariances[bucket] = variance * (1 - (variance * x * x) / spread);
  }
}

/** Forgets a share 1 - factor of the evidence: weights fall back towards zero, variances towards where they began. */
export function decayText(own: TextRegression, factor: number): void {
  for (let i = 0; i < own.products.length; i++) own.products[i] = (own.products[i] as number) * factor;
  for (let i = 0; i < own.moments.length; i++) own.moments[i] = (own.moments[i] as number) * factor;
  resolveRegression(own);
  const { words, column, wordVariances } = own;
  const { weights, stride } = words;
  for (let i = 0, at = column; i < WORD_BUCKETS; i++, at += stride) {
    const precision = 1 / (wordVariances[i] as number);
    const kept = WORD_RIDGE + factor * Math.max(0, precision - WORD_RIDGE);
    weights[at] = ((weights[at] as number) * factor * precision) / kept;
    wordVariances[i] = 1 / kept;
  }
}

/** Weights from the sums: (products + ridge) is positive definite, and inverted by Gauss-Jordan. */
export function resolveRegression(own: TextRegression): void {
  const n = SCALARS;
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n * n; i++) inverse[i] = own.products[i] as number;
  for (let i = 0; i < n; i++) inverse[i * n + i] = (inverse[i * n + i] as number) + SCALAR_RIDGE;
  for (let k = 0; k < n; k++) {
    const pivot = 1 / (inverse[k * n + k] as number);
    inverse[k * n + k] = 1;
    for (let j = 0; j < n; j++) inverse[k * n + j] = (inverse[k * n + j] as number) * pivot;
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const factor = inverse[i * n + k] as number;
      inverse[i * n + k] = 0;
      for (let j = 0; j < n; j++)
        inverse[i * n + j] = (inverse[i * n + j] as number) - factor * (inverse[k * n + j] as number);
    }
  }
  for (let i = 0; i < n; i++) {
    let weight = 0;
    for (let j = 0; j < n; j++) weight += (inverse[i * n + j] as number) * (own.moments[j] as number);
    own.scalarWeights[i] = weight;
  }
}

/** The weight of a word. */
export function wordWeightOf({ words, column }: TextRegression, bucket: number): number {
  return words.weights[bucket * words.stride + column] as number;
}

export function setWord(
  { words, column, wordVariances }: TextRegression,
  bucket: number,
  weight: number,
  variance: number,
): void {
  words.weights[bucket * words.stride + column] = weight;
  wordVariances[bucket] = variance;
}
