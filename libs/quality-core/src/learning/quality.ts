import { invariant } from '@meritorder/kernel';
import type { PromptFeatures } from '../prompt/prompt-features.js';
import { calibrated, decayCalibration, emptyCalibration, learnCalibration, type Calibration } from './calibration.js';
import { noShift, restart, watch, type ShiftDetector, type ShiftEvidence } from './shift.js';
import {
  addOutcome,
  decayOutcomes,
  emptyOutcomes,
  noiseOf,
  PARENT_OUTCOMES,
  shrink,
  type Mean,
  type Outcomes,
} from './tag-table.js';
import { WordTable } from './word-table.js';
import { decayText, emptyRegression, learnText, textOf, type TextRegression } from './text-regression.js';

/** What is known of one model in one org. */
export interface ModelQuality {
  readonly all: Outcomes;
  /** By tag, the least recently learned first; at most TAGS_PER_MODEL. */
  readonly tags: Map<string, Outcomes>;
  readonly text: TextRegression;
  readonly calibration: Calibration;
  readonly shift: ShiftDetector;
}

/**
 * What one org has learned of its models: nothing of another org is in it. At most MODELS_PER_ORG x about 40 KB; the model that
 * was least recently learned of gives way.
 */
export interface OrgQuality {
  readonly models: Map<string, ModelQuality>;
  /** Of these, what their prompts' words say. */
  readonly words: WordTable;
  decayedAtMs: number;
}

export const MODELS_PER_ORG = 64;
export const TAGS_PER_MODEL = 256;
export const HALF_LIFE_MS = 14 * 86_400_000;
/** Decay is applied in steps of this: a step touches every weight. */
const DECAY_EVERY_MS = 6 * 3_600_000;
/** Share of the evidence that survives a shift: the model is another one now. */
const KEPT_AFTER_SHIFT = 0.05;

/** What the operator says of a backend before anything is learned, and how many outcomes that counts as. */
export interface QualityPrior {
  /** 0..1 */
  readonly quality: number;
  readonly outcomes: number;
}

/** Nothing said: an answer that is more right than wrong, and soon overruled. No data chose it. */
export const UNKNOWN_PRIOR: QualityPrior = { quality: 0.75, outcomes: 4 };

/** A request as far as quality depends on it. */
export interface QualityContext {
  /** From the most general to the most specific ("chat", "chat/summary"): each is shrunken to the one before. At most 4. */
  readonly tags: readonly string[];
  readonly prompt: PromptFeatures;
}

export interface QualityPrediction {
  /** Calibrated, 0..1. */
  readonly quality: number;
  /**
   * Of the mean of such requests, not of one outcome: what is open about the model and the tags, and exploring would settle.
   * What single words leave open is left out: there are always new ones, and no request is worth spending on them.
   */
  readonly variance: number;
  /** The same before calibration: what `learnOutcome` judges. */
  readonly uncalibrated: number;
  /** Decayed outcomes of the model that it rests on; 0: the prior alone. */
  readonly outcomes: number;
}

export const emptyOrgQuality = (nowMs: number): OrgQuality => ({
  models: new Map(),
  words: new WordTable(),
  decayedAtMs: nowMs,
});

export function emptyModelQuality(words: WordTable): ModelQuality {
  return {
    all: emptyOutcomes(),
    tags: new Map(),
    text: emptyRegression(words),
    calibration: emptyCalibration(),
    shift: noShift(),
  };
}

/**
 * What the org's outcomes say of a model's answer to a request. Pure; bounded time.
 *
 * @param pool what other orgs that opted in have learned: it stands between the prior and the org, as PARENT_OUTCOMES outcomes
 *   at most, so that no other org's outcomes outweigh the own
 */
export function predictQuality(
  state: OrgQuality,
  model: string,
  context: QualityContext,
  prior: QualityPrior = UNKNOWN_PRIOR,
  pool?: OrgQuality,
): QualityPrediction {
  const own = state.models.get(model);
  const shared = pool?.models.get(model);
  const noise = own ? noiseOf(own.all) : shared ? noiseOf(shared.all) : NOISE_UNKNOWN;
  const table = tableMean(own, context.tags, noise, startOf(prior, noise, shared));
  if (own === undefined)
    return { quality: table.mean, variance: table.variance, uncalibrated: table.mean, outcomes: 0 };
  const uncalibrated = table.mean + textOf(own.text, context.prompt);
  return {
    quality: calibrated(own.calibration, uncalibrated),
    variance: table.variance,
    uncalibrated,
    outcomes: own.all.weight,
  };
}

const NOISE_UNKNOWN = noiseOf(emptyOutcomes());

interface Start {
  readonly mean: Mean;
  readonly outcomes: number;
}

function startOf(prior: QualityPrior, noise: number, shared: ModelQuality | undefined): Start {
  const outcomes = Math.max(1, prior.outcomes);
  const mean = { mean: prior.quality, variance: noise / outcomes };
  if (shared === undefined) return { mean, outcomes };
  const pooled = shrink(shared.all, { mean: prior.quality, variance: 0 }, noise, outcomes);
  return { mean: pooled, outcomes: Math.min(PARENT_OUTCOMES, outcomes + shared.all.weight) };
}

/** Level by level, each shrunken to the one before (`shrink`); written out in numbers, since a decision asks for every model. */
function tableMean(own: ModelQuality | undefined, tags: readonly string[], noise: number, start: Start): Mean {
  let { mean, variance } = start.mean;
  if (own === undefined) return start.mean;
  if (own.all.weight !== 0) {
    // The start's variance is noise / outcomes already: shrinking adds the same again only where nothing is known.
    const total = own.all.weight + start.outcomes;
    mean = (own.all.sum + start.outcomes * mean) / total;
    variance = noise / total;
  }
  // A tag that is new has its parent's mean, and is less certain.
  for (let i = 0; i < tags.length; i++) {
    const tag = own.tags.get(tags[i] as string);
    const total = (tag === undefined ? 0 : tag.weight) + PARENT_OUTCOMES;
    const share = PARENT_OUTCOMES / total;
    mean = ((tag === undefined ? 0 : tag.sum) + PARENT_OUTCOMES * mean) / total;
    variance = noise / total + share * share * variance;
  }
  return { mean, variance };
}

/** What a request turned out to be worth. */
export interface Outcome {
  readonly model: string;
  readonly context: QualityContext;
  /** 0..1 */
  readonly quality: number;
  /** How much it says, above 0 to 1: a judge's score 1, a weak hint less. */
  readonly weight?: number;
  readonly prior?: QualityPrior;
  /** When it was reported, epoch ms; default: now. */
  readonly atMs?: number;
}

/** A model answers otherwise than it did: its provider changed it, or its use did. */
export interface QualityShift extends ShiftEvidence {
  readonly model: string;
  /** When the outcome that completed it was reported. */
  readonly noticedAtMs: number;
}

/**
 * Learns one outcome into the state. On a shift the model's evidence is nearly forgotten, so that it is explored again.
 *
 * @returns the shift that this outcome completed, if any
 * @throws InvariantError unless quality is within 0..1 and the weight above 0 and at most 1
 */
export function learnOutcome(state: OrgQuality, outcome: Outcome, nowMs: number): QualityShift | undefined {
  const { model, context, quality, weight = 1, prior, atMs = nowMs } = outcome;
  invariant(quality >= 0 && quality <= 1, `quality ${quality} is not within 0..1`);
  invariant(weight > 0 && weight <= 1, `weight ${weight} is not above 0 and at most 1`);
  decayQuality(state, nowMs);
  const own = modelToLearn(state, model);
  const before = predictQuality(state, model, context, prior);
  const noise = noiseOf(own.all);
  const surprise = ((quality - before.quality) / Math.sqrt(noise + before.variance)) * Math.sqrt(weight);
  const shift = watch(own.shift, { expected: before.quality, observed: quality, surprise, atMs });
  if (shift !== undefined) decayModel(own, KEPT_AFTER_SHIFT);
  learnCalibration(own.calibration, before.uncalibrated, quality, weight);
  const table = tableMean(own, context.tags, noise, startOf(prior ?? UNKNOWN_PRIOR, noise, undefined));
  learnText(own.text, context.prompt, quality - table.mean, weight);
  addOutcome(own.all, quality, weight);
  for (const tag of context.tags) addOutcome(tagToLearn(own, tag), quality, weight);
  return shift === undefined ? undefined : { model, noticedAtMs: atMs, ...shift };
}

/**
 * Takes a shift that somebody else noticed for one's own, unless it is known already: who heard of fewer outcomes would otherwise
 * notice the same one later, as another.
 *
 * @returns whether it was not known
 */
export function adoptShift(
  state: OrgQuality,
  { model, sinceMs, noticedAtMs }: Pick<QualityShift, 'model' | 'sinceMs' | 'noticedAtMs'>,
): boolean {
  const own = state.models.get(model);
  if (own === undefined || own.shift.shiftedAtMs >= sinceMs) return false;
  decayModel(own, KEPT_AFTER_SHIFT);
  restart(own.shift, noticedAtMs);
  return true;
}

function modelToLearn(state: OrgQuality, model: string): ModelQuality {
  const known = state.models.get(model);
  if (known === undefined && state.models.size >= MODELS_PER_ORG) {
    const [longestAgo] = state.models.values();
    if (longestAgo !== undefined) state.words.giveBack(longestAgo.text.column);
  }
  const own = known ?? emptyModelQuality(state.words);
  toLatest(state.models, model, own, MODELS_PER_ORG);
  return own;
}

function tagToLearn(own: ModelQuality, tag: string): Outcomes {
  const known = own.tags.get(tag) ?? emptyOutcomes();
  toLatest(own.tags, tag, known, TAGS_PER_MODEL);
  return known;
}

function toLatest<V>(map: Map<string, V>, key: string, value: V, most: number): void {
  map.delete(key);
  if (map.size >= most) map.delete(map.keys().next().value as string);
  map.set(key, value);
}

/** Half of the evidence is gone after HALF_LIFE_MS. Learning does it; a service may also call it now and then. */
export function decayQuality(state: OrgQuality, nowMs: number): void {
  const elapsedMs = nowMs - state.decayedAtMs;
  if (elapsedMs < DECAY_EVERY_MS) return;
  const factor = 2 ** (-elapsedMs / HALF_LIFE_MS);
  for (const own of state.models.values()) decayModel(own, factor);
  state.decayedAtMs = nowMs;
}

function decayModel(own: ModelQuality, factor: number): void {
  decayOutcomes(own.all, factor);
  for (const tag of own.tags.values()) decayOutcomes(tag, factor);
  decayText(own.text, factor);
  decayCalibration(own.calibration, factor);
}
