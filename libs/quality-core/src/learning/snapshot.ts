import { WORD_BUCKETS } from '../prompt/prompt-features.js';
import { TAGS_REPORTED_MOST, type Reports } from './complaints.js';
import type { ModelQuality, OrgQuality } from './quality.js';
import { MODELS_PER_ORG, TAGS_PER_MODEL, emptyModelQuality, emptyOrgQuality } from './quality.js';
import { resolveRegression, setWord, UNLEARNED_WORD_VARIANCE, wordWeightOf } from './text-regression.js';
import type { AnsweredOutcomes } from './tag-table.js';
import { noShift } from './shift.js';
import type { WordTable } from './word-table.js';

/** Of one format; another is not read. */
const FORMAT = 1;

/** What an org has learned, as JSON: the words that were met alone. At most about 6 MB; some 20 KB a model in practice. */
export interface QualitySnapshot {
  readonly format: number;
  readonly decayedAtMs: number;
  readonly models: readonly (readonly [model: string, quality: ModelSnapshot])[];
  /** Absent: it was not kept then. */
  readonly reports?: readonly (readonly [tag: string, reports: Reports])[];
}

interface ModelSnapshot extends Pick<ModelQuality, 'all' | 'calibration' | 'shift'> {
  readonly tags: readonly (readonly [tag: string, outcomes: AnsweredOutcomes])[];
  readonly products: readonly number[];
  readonly moments: readonly number[];
  readonly words: readonly (readonly [bucket: number, weight: number, variance: number])[];
}

export function snapshotQuality(state: OrgQuality): QualitySnapshot {
  const models = Array.from(state.models, ([model, own]) => [model, modelSnapshot(own)] as const);
  return { format: FORMAT, decayedAtMs: state.decayedAtMs, models, reports: structuredClone([...state.reports]) };
}

function modelSnapshot({ all, tags, text, calibration, shift }: ModelQuality): ModelSnapshot {
  const words: [number, number, number][] = [];
  text.wordVariances.forEach((variance, bucket) => {
    if (variance < UNLEARNED_WORD_VARIANCE) words.push([bucket, round(wordWeightOf(text, bucket)), round(variance)]);
  });
  const { products, moments } = text;
  return structuredClone({
    all,
    tags: [...tags],
    products: Array.from(products, round),
    moments: Array.from(moments, round),
    words,
    calibration,
    shift,
  });
}

const round = (value: number): number => Number(value.toPrecision(7));

/** The state of a snapshot; undefined: it is of another format or not one. */
export function restoreQuality(snapshot: unknown): OrgQuality | undefined {
  if (!isRecord(snapshot) || snapshot['format'] !== FORMAT) return undefined;
  const { models, decayedAtMs, reports = [] } = snapshot;
  if (!isNumber(decayedAtMs) || !Array.isArray(models) || models.length > MODELS_PER_ORG) return undefined;
  const state = emptyOrgQuality(decayedAtMs);
  if (!Array.isArray(reports) || reports.length > TAGS_REPORTED_MOST) return undefined;
  for (const pair of reports) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string' || !areReports(pair[1])) return undefined;
    state.reports.set(pair[0], { ...pair[1] });
  }
  for (const pair of models) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string') return undefined;
    const own = readModel(pair[1], state.words);
    if (own === undefined) return undefined;
    state.models.set(pair[0], own);
  }
  return state;
}

function readModel(value: unknown, table: WordTable): ModelQuality | undefined {
  if (!isRecord(value)) return undefined;
  const own = emptyModelQuality(table);
  const { tags, products, moments, words, calibration } = value;
  // One of a version that kept less of it goes on from what it kept.
  const all = answeredIn(value['all']);
  const shift = isRecord(value['shift']) ? { ...noShift(), ...value['shift'] } : undefined;
  if (!hasShape(all, own.all) || !hasShape(calibration, own.calibration) || !hasShape(shift, own.shift))
    return undefined;
  if (!Array.isArray(tags) || tags.length > TAGS_PER_MODEL) return undefined;
  for (const pair of tags) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string') return undefined;
    const outcomes = answeredIn(pair[1]);
    if (!hasShape(outcomes, own.all)) return undefined;
    own.tags.set(pair[0], outcomes);
  }
  const { text } = own;
  if (!areNumbers(products, text.products.length) || !areNumbers(moments, text.moments.length)) return undefined;
  text.products.set(products);
  text.moments.set(moments);
  resolveRegression(text);
  if (!Array.isArray(words)) return undefined;
  for (const word of words) {
    if (!areNumbers(word, 3)) return undefined;
    const [bucket, weight, variance] = word as [number, number, number];
    if (!Number.isInteger(bucket) || bucket < 0 || bucket >= WORD_BUCKETS || !(variance > 0)) return undefined;
    setWord(text, bucket, weight, variance);
  }
  return { ...own, all, calibration: structuredClone(calibration), shift: structuredClone(shift) };
}

const answeredIn = (value: unknown): unknown => (isRecord(value) ? { answers: 0, lost: 0, ...value } : undefined);

function areReports(value: unknown): value is Reports {
  if (!isRecord(value)) return false;
  const { all, praise, countedSinceMs, lastAtMs } = value;
  return [all, praise, lastAtMs].every(isNumber) && (countedSinceMs === null || isNumber(countedSinceMs));
}

/** The same fields, numbers where the model has numbers, lists of the same length and shape. */
function hasShape<T extends object>(value: unknown, model: T): value is T {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Record<string, unknown>;
  return Object.entries(model).every(([field, like]) => {
    const part = record[field];
    if (typeof like === 'number') return isNumber(part);
    if (!Array.isArray(like)) return hasShape(part, like as object);
    return (
      Array.isArray(part) && part.length === like.length && part.every((own, i) => hasShape(own, like[i] as object))
    );
  });
}

function areNumbers(value: unknown, length: number): value is number[] {
  return Array.isArray(value) && value.length === length && value.every(isNumber);
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
