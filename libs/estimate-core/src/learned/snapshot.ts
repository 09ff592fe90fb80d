import { UNLEARNED_HITS, type CacheHits } from '../cache/cache-hits.js';
import { UNLEARNED_INPUT, type InputLearning } from '../input/input-learning.js';
import { LENGTH_BINS } from '../output/length-bins.js';
import { QUANTILES, unlearnedLengths, type OutputLengths } from '../output/output-lengths.js';
import { LEARNED_LIMITS, POOL, type Learned } from './learned.js';

/** Of one format; another is not read. */
const FORMAT = 1;

/**
 * What was learned of one org, as JSON; the least recently used first. At most about 1.6 MB (256 keys of lengths of 6 KB, 64
 * models of 1 KB, 256 backends of .2 KB); some 100 KB in practice.
 */
export interface LearnedSnapshot {
  readonly format: number;
  readonly lengths: readonly (readonly [key: string, lengths: LengthsSnapshot])[];
  readonly inputs: readonly (readonly [model: string, learning: InputLearning])[];
  readonly hits: readonly (readonly [backend: string, hits: CacheHits])[];
}

interface LengthsSnapshot {
  /** Bins with answers, and their decayed numbers to four digits. */
  readonly bins: readonly number[];
  readonly counts: readonly number[];
  readonly seen: number;
  readonly aim: Readonly<Record<(typeof QUANTILES)[number], number>>;
  readonly judged: number;
  readonly covered: Readonly<Record<(typeof QUANTILES)[number], number>>;
}

/** The orgs that something was learned of, and the pool; each is a snapshot of its own, so that no org's is in another's. */
export function learnedOrgs(learned: Learned): string[] {
  return [...new Set([...learned.lengths.orgs(), ...learned.inputs.orgs(), ...learned.hits.orgs(), POOL])].filter(
    (org) => org !== POOL || [...learned.lengths.entries(POOL), ...learned.inputs.entries(POOL)].length > 0,
  );
}

/** @param org an org, or POOL */
export function snapshotOf(learned: Learned, org: string): LearnedSnapshot {
  return {
    format: FORMAT,
    lengths: Array.from(learned.lengths.entries(org), ([key, lengths]) => [key, lengthsSnapshot(lengths)] as const),
    inputs: Array.from(learned.inputs.entries(org), ([model, learning]) => [model, rounded(learning)] as const),
    hits: Array.from(learned.hits.entries(org), ([backend, hits]) => [backend, rounded(hits)] as const),
  };
}

/**
 * Takes a snapshot over what is known of the org. False, and nothing changed: it is of another format or not one.
 */
export function restoreLearned(learned: Learned, org: string, snapshot: unknown): boolean {
  const read = readSnapshot(snapshot);
  if (read === undefined) return false;
  for (const [key, lengths] of read.lengths) learned.lengths.set(org, key, lengths);
  for (const [model, learning] of read.inputs) learned.inputs.set(org, model, learning);
  for (const [backend, hits] of read.hits) learned.hits.set(org, backend, hits);
  return true;
}

function lengthsSnapshot(lengths: OutputLengths): LengthsSnapshot {
  const { seen, aim, judged, covered } = lengths;
  const bins: number[] = [];
  const counts: number[] = [];
  lengths.counts.forEach((count, bin) => {
    // What has decayed to less than a thousandth of an answer is no longer of any weight.
    if (count < 0.001) return;
    bins.push(bin);
    counts.push(Number(count.toPrecision(4)));
  });
  return { bins, counts, seen, aim: rounded(aim), judged: Number(judged.toPrecision(7)), covered: rounded(covered) };
}

/** Numbers to seven digits. */
function rounded<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_, part: unknown) =>
    typeof part === 'number' ? Number(part.toPrecision(7)) : part,
  ) as T;
}

interface Restored {
  lengths: [string, OutputLengths][];
  inputs: [string, InputLearning][];
  hits: [string, CacheHits][];
}

function readSnapshot(snapshot: unknown): Restored | undefined {
  if (!isRecord(snapshot) || snapshot['format'] !== FORMAT) return undefined;
  const lengths = pairs(snapshot['lengths'], LEARNED_LIMITS.lengths.perOrg, readLengths);
  const inputs = pairs(snapshot['inputs'], LEARNED_LIMITS.inputs.perOrg, (value) => readLike(value, UNLEARNED_INPUT));
  const hits = pairs(snapshot['hits'], LEARNED_LIMITS.hits.perOrg, (value) => readLike(value, UNLEARNED_HITS));
  return lengths && inputs && hits ? { lengths, inputs, hits } : undefined;
}

function pairs<T>(value: unknown, most: number, read: (value: unknown) => T | undefined): [string, T][] | undefined {
  if (!Array.isArray(value) || value.length > most) return undefined;
  const found: [string, T][] = [];
  for (const pair of value) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string') return undefined;
    const second = read(pair[1]);
    if (second === undefined) return undefined;
    found.push([pair[0], second]);
  }
  return found;
}

function readLengths(value: unknown): OutputLengths | undefined {
  if (!isRecord(value)) return undefined;
  const { bins, counts, seen, aim, judged, covered } = value;
  if (!areNumbers(bins) || !areNumbers(counts) || bins.length !== counts.length) return undefined;
  if (!isRecord(aim) || !isRecord(covered)) return undefined;
  const numbers = [seen, judged, aim['p95'], aim['p99'], covered['p95'], covered['p99']];
  if (!areNumbers(numbers) || bins.some((bin) => !Number.isInteger(bin) || bin < 0 || bin >= LENGTH_BINS))
    return undefined;
  if (counts.some((count) => count < 0)) return undefined;
  const lengths = unlearnedLengths();
  bins.forEach((bin, i) => (lengths.counts[bin] = counts[i] as number));
  lengths.weight = lengths.counts.reduce((sum, count) => sum + count, 0);
  [lengths.seen, lengths.judged, lengths.aim.p95, lengths.aim.p99, lengths.covered.p95, lengths.covered.p99] =
    numbers as [number, number, number, number, number, number];
  return lengths;
}

/** The value, if it has the shape of the model: the same fields, numbers where it has numbers, lists of the same length. */
function readLike<T extends object>(value: unknown, model: T): T | undefined {
  if (!isRecord(value)) return undefined;
  for (const [field, like] of Object.entries(model)) {
    const part = value[field];
    if (typeof like === 'number' && !areNumbers([part])) return undefined;
    if (Array.isArray(like) && !(areNumbers(part) && part.length === like.length)) return undefined;
    if (like === null && !(part === null || areNumbers(part))) return undefined;
  }
  return value as T;
}

function areNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((part) => typeof part === 'number' && Number.isFinite(part));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
