import { invariant } from '@meritorder/kernel';
import type { PromptFeatures } from '../prompt/prompt-features.js';
import { calibrated, decayCalibration, emptyCalibration, learnCalibration, type Calibration } from './calibration.js';
import { decayReports, SILENT_ANSWER, type Reports } from './complaints.js';
import { noShift, restart, watch, type ShiftDetector, type ShiftEvidence } from './shift.js';
import {
  addOutcome,
  decayAnswered,
  noiseOf,
  nothingAnswered,
  PARENT_OUTCOMES,
  type AnsweredOutcomes,
} from './tag-table.js';
import { WordTable } from './word-table.js';
import { decayText, emptyRegression, learnText, textOf, type TextRegression } from './text-regression.js';

/** What is known of one model in one org. */
export interface ModelQuality {
  readonly all: AnsweredOutcomes;
  /** By tag, the least recently learned first; at most TAGS_PER_MODEL. */
  readonly tags: Map<string, AnsweredOutcomes>;
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
  /** By the most general tag, the least recently reported of first. */
  readonly reports: Map<string, Reports>;
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
  reports: new Map(),
  decayedAtMs: nowMs,
});

export function emptyModelQuality(words: WordTable): ModelQuality {
  return {
    all: nothingAnswered(),
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
 *   at most, or as much as is left in it of a prior that counts more, so that no other org's outcomes outweigh the own
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
  const { priorShare, told, outcomes } = tableOf(own, context.tags, prior, shared);
  const said = priorShare * prior.quality;
  const variance = (own ? noiseOf(own.all) : shared ? noiseOf(shared.all) : NOISE_UNKNOWN) / outcomes;
  const uncalibrated = said + told;
  if (own === undefined || priorShare === 1) return { quality: uncalibrated, variance, uncalibrated, outcomes: 0 };
  const toldShare = 1 - priorShare;
  const expected = told / toldShare + textOf(own.text, context.prompt);
  return {
    quality: said + toldShare * calibrated(own.calibration, expected),
    variance,
    uncalibrated: said + toldShare * expected,
    outcomes: own.all.weight + answeredWeight(own.all.answers, own.all.lost),
  };
}

const answeredWeight = (answers: number, lost: number): number => SILENT_ANSWER * answers + (1 - SILENT_ANSWER) * lost;

const NONE = nothingAnswered();
const NOISE_UNKNOWN = noiseOf(NONE);

/** What the table says: `priorShare` of the prior's quality, and `told`, the outcomes' part of the mean; it rests on `outcomes`. */
interface TableReading {
  readonly priorShare: number;
  readonly told: number;
  readonly outcomes: number;
}

/**
 * Level by level, from the pool of orgs to the most specific tag, each shrunken to the one before: (S + k * parent) / (N + k). Of a
 * level count the outcomes that the next one does not have, so that each counts once, however many levels it is in; k is what the
 * parent rests on, at most PARENT_OUTCOMES, or as much of the prior as is left in it. So a prior of N outcomes is overruled by half
 * by N, whatever tags they have. Written out in numbers, since a decision asks for every model.
 */
function tableOf(
  own: ModelQuality | undefined,
  tags: readonly string[],
  prior: QualityPrior,
  shared?: ModelQuality,
): TableReading {
  const priorOutcomes = Math.max(1, prior.outcomes);
  let priorShare = 1;
  let told = 0;
  let outcomes = priorOutcomes;
  let level = shared?.all ?? own?.all ?? NONE;
  for (let i = shared === undefined ? 0 : -1; i <= tags.length; i++) {
    const next = i === tags.length ? NONE : ((i < 0 ? own?.all : own?.tags.get(tags[i] as string)) ?? NONE);
    // A tag that was forgotten may have come again after those below it: then it has none of its own.
    let weight = Math.max(0, level.weight - next.weight);
    let sum = Math.min(weight, Math.max(0, level.sum - next.sum));
    if (level.answers + level.lost > 0) {
      const lost = Math.max(0, level.lost - next.lost);
      const answers = Math.max(lost, level.answers - next.answers);
      const says = answeredWeight(answers, lost);
      weight += says;
      if (answers > 0) sum += says * (1 - lost / answers);
    }
    const parent = outcomes;
    outcomes += weight;
    priorShare *= parent / outcomes;
    told = (sum + parent * told) / outcomes;
    if (i < tags.length) outcomes = Math.min(outcomes, Math.max(PARENT_OUTCOMES, priorShare * priorOutcomes));
    level = next;
  }
  return { priorShare, told, outcomes };
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
  const { model, context, quality, weight = 1, prior = UNKNOWN_PRIOR, atMs = nowMs } = outcome;
  invariant(quality >= 0 && quality <= 1, `quality ${quality} is not within 0..1`);
  invariant(weight > 0 && weight <= 1, `weight ${weight} is not above 0 and at most 1`);
  decayQuality(state, nowMs);
  const own = modelToLearn(state, model);
  const told = toldOf(own, context.tags, prior);
  const before = told.mean + textOf(own.text, context.prompt);
  const expected = calibrated(own.calibration, before);
  const noise = noiseOf(own.all);
  // What is known by few outcomes is surprised by less.
  const surprise = ((quality - expected) / Math.sqrt(noise + noise / told.outcomes)) * Math.sqrt(weight);
  const shift = watch(own.shift, { expected, observed: quality, surprise, atMs });
  if (shift !== undefined) decayModel(own, KEPT_AFTER_SHIFT);
  const says = (weight * told.outcomes) / (told.outcomes + weight);
  if (says > 0) {
    learnCalibration(own.calibration, before, quality, says);
    learnText(own.text, context.prompt, quality - told.mean, says);
  }
  addOutcome(own.all, quality, weight);
  for (const tag of context.tags) addOutcome(tagToLearn(own, tag), quality, weight);
  return shift === undefined ? undefined : { model, noticedAtMs: atMs, ...shift };
}

/** Counts an answer, or how much of one that is counted a complaint takes, 0..1. */
export function countAnswer(
  state: OrgQuality,
  model: string,
  tags: readonly string[],
  { answers, lost }: { readonly answers: number; readonly lost: number },
  nowMs: number,
): void {
  decayQuality(state, nowMs);
  const own = modelToLearn(state, model);
  for (const level of [own.all, ...tags.map((tag) => tagToLearn(own, tag))]) {
    level.answers += answers;
    level.lost += lost;
  }
}

/**
 * What outcomes alone say, without the operator's word, and how many they are: text and calibration say how answers differ from
 * that. Did they learn by how much the operator was wrong, one outcome would overrule the prior here and there again.
 */
function toldOf(own: ModelQuality, tags: readonly string[], prior: QualityPrior): { mean: number; outcomes: number } {
  const { priorShare, told, outcomes } = tableOf(own, tags, prior);
  const toldShare = 1 - priorShare;
  return { mean: toldShare > 0 ? told / toldShare : prior.quality, outcomes: toldShare * outcomes };
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

function tagToLearn(own: ModelQuality, tag: string): AnsweredOutcomes {
  const known = own.tags.get(tag) ?? nothingAnswered();
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
  decayReports(state.reports, factor, nowMs);
  state.decayedAtMs = nowMs;
}

function decayModel(own: ModelQuality, factor: number): void {
  decayAnswered(own.all, factor);
  for (const tag of own.tags.values()) decayAnswered(tag, factor);
  decayText(own.text, factor);
  decayCalibration(own.calibration, factor);
}
