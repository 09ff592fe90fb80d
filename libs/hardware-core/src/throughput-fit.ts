import type { EngineTimings, ThroughputConfig, Usage } from '@meritorder/contracts';
import { configuredThroughput, decodeAtBatch, prefillTokens, type DecodePoint, type Throughput } from './throughput.js';

/**
 * What engines have said of their speed, decaying and of constant size; plain JSON. Prefill is kept by size of the prompt and
 * decode by batch, each in octaves: a short prompt is slow per token and a large batch fast, and neither is an outlier.
 */
export interface ThroughputFit {
  version: 1;
  /** Attempts with usable timings, ever. */
  attempts: number;
  prefill: Octaves;
  decode: Octaves;
}

/** By octave: "0" holds 1, "1" holds 2 and 3, "2" holds 4 to 7, and so on to the last. */
export type Octaves = Record<string, Octave>;

export interface Octave {
  /** Decayed number of attempts that count. */
  weight: number;
  /** Decayed sums. Milliseconds are the replica's own: of a decode shared by a batch, each stream has its part. */
  tokens: number;
  replicaMs: number;
  /** Decayed sum of streams times those milliseconds: over `replicaMs` it is the mean batch. */
  streamMs: number;
  /** The last rates, tokens per second of the replica: their median says what is out of line. */
  recent: number[];
}

/** One attempt: what the engine said, what was counted, and how many calls were in flight when it began. */
export interface SpeedObservation {
  timings: EngineTimings;
  usage: Usage | undefined;
  /** Absent: alone. */
  concurrency?: number | undefined;
}

export const EMPTY_FIT: ThroughputFit = { version: 1, attempts: 0, prefill: {}, decode: {} };

/** Attempts that the sums remember: an attempt weighs 1/e after so many. */
const MEMORY = 1_000;
const LAST_OCTAVE = 23;
const RECENT = 9;
/** Before so many rates are known nothing is summed: one stall must not be the first word. */
const RECENT_NEEDED = 5;
/** A rate further than this factor from the median of the recent ones counts as if it were this far. */
const OUTLIER_FACTOR = 2;
/** What an octave, and prefill as a whole, must have before it is followed. */
const ENOUGH = 20;
/** An answer of a few tokens is timed mostly by the clock's steps. */
const LEAST_DECODE_TOKENS = 8;
/** A batch size this close to one that was seen is taken as seen. */
const NEAR = 1.5;

/** The state after one more attempt. Timings that say nothing leave it as it was. */
export function observeSpeed(
  fit: ThroughputFit,
  { timings, usage, concurrency = 1 }: SpeedObservation,
  counts: ThroughputConfig['prefillCounts'],
): ThroughputFit {
  const read = counts === 'all' && usage ? prefillTokens({ prefillCounts: 'all' }, usage) : timings.prefillTokens;
  const prefillUsable = read >= 1 && timings.prefillMs > 0;
  const decodeUsable = timings.decodeTokens >= LEAST_DECODE_TOKENS && timings.decodeMs > 0;
  if (!prefillUsable && !decodeUsable) return fit;
  const batch = Math.max(1, concurrency);
  return {
    version: 1,
    attempts: fit.attempts + 1,
    prefill: prefillUsable ? observe(fit.prefill, read, read, timings.prefillMs, 1) : fit.prefill,
    decode: decodeUsable
      ? observe(fit.decode, batch, timings.decodeTokens, timings.decodeMs / batch, batch)
      : fit.decode,
  };
}

function observe(octaves: Octaves, size: number, tokens: number, replicaMs: number, streams: number): Octaves {
  const key = String(Math.min(LAST_OCTAVE, Math.floor(Math.log2(size))));
  const decayed = Object.fromEntries(Object.entries(octaves).map(([name, octave]) => [name, decay(octave)]));
  const before = decayed[key] ?? { weight: 0, tokens: 0, replicaMs: 0, streamMs: 0, recent: [] };
  const rate = (tokens * 1_000) / replicaMs;
  const recent = [...before.recent, round(rate)].slice(-RECENT);
  if (recent.length < RECENT_NEEDED) return { ...decayed, [key]: { ...before, recent } };
  const usual = median(recent);
  const inLine = Math.min(usual * OUTLIER_FACTOR, Math.max(usual / OUTLIER_FACTOR, rate));
  const ms = (tokens * 1_000) / inLine;
  return {
    ...decayed,
    [key]: {
      weight: before.weight + 1,
      tokens: before.tokens + tokens,
      replicaMs: before.replicaMs + ms,
      streamMs: before.streamMs + ms * streams,
      recent,
    },
  };
}

function decay(octave: Octave): Octave {
  const by = 1 - 1 / MEMORY;
  return {
    ...octave,
    weight: octave.weight * by,
    tokens: octave.tokens * by,
    replicaMs: octave.replicaMs * by,
    streamMs: octave.streamMs * by,
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Six digits are more than a measurement has. */
function round(value: number): number {
  return Number(value.toPrecision(6));
}

/** The prefill rate over the sizes of prompts that came, tokens per second of the replica; undefined before enough was seen. */
export function fittedPrefill(fit: ThroughputFit): number | undefined {
  const octaves = Object.values(fit.prefill);
  const total = (of: (octave: Octave) => number): number => octaves.reduce((all, octave) => all + of(octave), 0);
  if (total((o) => o.weight) < ENOUGH) return undefined;
  return round((total((o) => o.tokens) * 1_000) / total((o) => o.replicaMs));
}

/** Decode rates at the batch sizes of which enough was seen, by rising batch. */
export function fittedDecode(fit: ThroughputFit): DecodePoint[] {
  return Object.values(fit.decode)
    .filter((octave) => octave.weight >= ENOUGH)
    .map((octave) => ({
      batch: octave.streamMs / octave.replicaMs,
      tokensPerSecond: (octave.tokens * 1_000) / octave.replicaMs,
    }))
    .sort((a, b) => a.batch - b.batch);
}

/**
 * The rates to plan with: what was fitted where enough was seen, at the configured batch size, and else what is configured. A
 * batch size that the engine never ran at is not extrapolated to.
 */
export function throughputOf(config: ThroughputConfig, fit: ThroughputFit | undefined): Throughput {
  const configured = configuredThroughput(config);
  if (!fit || !config.fit) return configured;
  const prefill = fittedPrefill(fit);
  const points = fittedDecode(fit);
  const [lowest, highest] = [points[0]?.batch ?? Infinity, points.at(-1)?.batch ?? 0];
  const seen = config.batch >= lowest / NEAR && config.batch <= highest * NEAR;
  return {
    ...configured,
    ...(prefill === undefined ? {} : { prefillTokensPerSecond: prefill, prefillBasis: 'fitted' }),
    ...(seen ? { decodeTokensPerSecond: round(decodeAtBatch(points, config.batch)), decodeBasis: 'fitted' } : {}),
    attempts: prefill !== undefined || seen ? fit.attempts : 0,
  };
}
