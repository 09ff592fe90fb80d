import { invariant } from '@meritorder/kernel';
import type { QualityContext } from './quality.js';
import { addOutcome, decayOutcomes, emptyOutcomes, PARENT_OUTCOMES, shrink, type Outcomes } from './tag-table.js';
import { decayText, emptyRegression, learnText, textOf, type TextRegression } from './text-regression.js';

/**
 * A positive quantity of a model's answers that depends on the request, such as what it cost: the same table and text
 * regression as for quality, on its logarithm. Where tokens and prices are known, price them; this is for where only the sum
 * is. Constant size but for at most TAGS_MOST tags.
 */
export interface LearnedMagnitude {
  readonly all: Outcomes;
  readonly tags: Map<string, Outcomes>;
  readonly text: TextRegression;
  /** Decayed sums of what came and of what the logarithms alone would have said: a mean lies above a median. */
  came: number;
  said: number;
}

const TAGS_MOST = 256;
/** How far the mean may lie above the median: beyond a factor of e the logarithms are not what varies. */
const MOST_LIFT = Math.E;
/** Values after which one counts 1/e. */
const KEEP = 1 - 1 / 2_000;

export const emptyMagnitude = (): LearnedMagnitude => ({
  all: emptyOutcomes(),
  tags: new Map(),
  text: emptyRegression(),
  came: 0,
  said: 0,
});

/** The value to expect, in the unit that was learned; undefined before the first. */
export function predictMagnitude(own: LearnedMagnitude, context: QualityContext): number | undefined {
  if (own.all.weight === 0) return undefined;
  const lift = own.said > 0 ? Math.min(MOST_LIFT, Math.max(1 / MOST_LIFT, own.came / own.said)) : 1;
  return lift * medianOf(own, context);
}

function medianOf(own: LearnedMagnitude, context: QualityContext): number {
  return Math.exp(tableOf(own, context.tags) + textOf(own.text, context.prompt));
}

function tableOf(own: LearnedMagnitude, tags: readonly string[]): number {
  let level = { mean: own.all.sum / own.all.weight, variance: 0 };
  for (const tag of tags) level = shrink(own.tags.get(tag), level, 0, PARENT_OUTCOMES);
  return level.mean;
}

/** @throws InvariantError unless the value is above 0 and finite */
export function learnMagnitude(own: LearnedMagnitude, context: QualityContext, value: number): void {
  invariant(value > 0 && Number.isFinite(value), `a magnitude of ${value} is not above 0`);
  const logarithm = Math.log(value);
  if (own.all.weight > 0) {
    own.came = own.came * KEEP + value;
    own.said = own.said * KEEP + medianOf(own, context);
    learnText(own.text, context.prompt, logarithm - tableOf(own, context.tags), 1);
  }
  addOutcome(own.all, logarithm, 1);
  for (const tag of context.tags) {
    const known = own.tags.get(tag) ?? emptyOutcomes();
    own.tags.delete(tag);
    if (own.tags.size >= TAGS_MOST) own.tags.delete(own.tags.keys().next().value as string);
    own.tags.set(tag, known);
    addOutcome(known, logarithm, 1);
  }
}

/** Keeps a share `factor` of the evidence. */
export function decayMagnitude(own: LearnedMagnitude, factor: number): void {
  decayOutcomes(own.all, factor);
  for (const tag of own.tags.values()) decayOutcomes(tag, factor);
  decayText(own.text, factor);
  own.came *= factor;
  own.said *= factor;
}
