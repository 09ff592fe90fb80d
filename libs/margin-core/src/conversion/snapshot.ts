import { DELAY_BINS } from './delay.js';
import {
  BACKENDS_PER_SEGMENT,
  emptyOrgConversion,
  emptySegment,
  SEGMENTS_PER_ORG,
  type OrgConversion,
  type Segment,
} from './segments.js';
import type { Slope } from './slope.js';
import { BUCKETS_MOST, type Trials } from './trials.js';

/** Of one format; another is not read. */
const FORMAT = 1;

/** What an org has learned, as JSON: some 6 KB a segment and 1 KB for each of its backends; at most about 6 MB. */
export interface ConversionSnapshot {
  readonly format: number;
  readonly windowMs: number;
  readonly broughtForwardMs: number;
  /** Absent: none was learned, or it was not kept then. */
  readonly sinceMs?: number;
  readonly slope: Slope;
  readonly segments: readonly (readonly [name: string, segment: SegmentSnapshot])[];
}

interface SegmentSnapshot extends Omit<Segment, 'backends' | 'fresh'> {
  readonly backends: readonly (readonly [backend: string, trials: Trials])[];
}

/** A copy: later learning does not change it. */
export function snapshotConversion(state: OrgConversion): ConversionSnapshot {
  const { windowMs, broughtForwardMs, sinceMs, slope } = state;
  const segments = Array.from(state.segments, ([name, segment]) => {
    const { fresh: _fresh, backends, ...kept } = segment;
    return [name, { ...kept, backends: [...backends] }] as const;
  });
  const since = sinceMs === Infinity ? {} : { sinceMs };
  return structuredClone({ format: FORMAT, windowMs, broughtForwardMs, ...since, slope, segments });
}

/**
 * The state of a snapshot; undefined: it is of another format or outcome window, or not one. Delays are learned in shares of the
 * window, so another window begins anew.
 */
export function restoreConversion(snapshot: unknown, windowMs: number): OrgConversion | undefined {
  if (!isRecord(snapshot) || snapshot['format'] !== FORMAT || snapshot['windowMs'] !== windowMs) return undefined;
  const { broughtForwardMs, sinceMs, slope, segments } = snapshot;
  if (!isNumber(broughtForwardMs) || !isSlope(slope)) return undefined;
  if (!Array.isArray(segments) || segments.length > SEGMENTS_PER_ORG) return undefined;
  const state = emptyOrgConversion(broughtForwardMs, windowMs);
  // One that does not say since when it has learned has done so for long.
  state.sinceMs = isNumber(sinceMs) ? sinceMs : segments.length > 1 ? -Number.MAX_VALUE : Infinity;
  state.slope = { slope: slope.slope, variance: slope.variance };
  state.segments.clear();
  for (const pair of segments) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string') return undefined;
    const own = readSegment(pair[1]);
    if (own === undefined) return undefined;
    state.segments.set(pair[0], own);
  }
  return state.segments.has('') ? state : undefined;
}

function readSegment(value: unknown): Segment | undefined {
  if (!isRecord(value)) return undefined;
  const { parent, delays, shares, revenueUsd, paid, last } = value;
  if (typeof parent !== 'string' || typeof last !== 'boolean') return undefined;
  if (!isNumber(revenueUsd) || !isCount(paid) || !areCounts(delays) || !areCounts(shares)) return undefined;
  const all = readTrials(value['all']);
  const backends = readBackends(value['backends']);
  if (all === undefined || backends === undefined) return undefined;
  return { ...emptySegment(shares), parent, all, backends, delays: [...delays], revenueUsd, paid, last };
}

function readBackends(value: unknown): Map<string, Trials> | undefined {
  if (!Array.isArray(value) || value.length > BACKENDS_PER_SEGMENT) return undefined;
  const backends = new Map<string, Trials>();
  for (const pair of value) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string') return undefined;
    const own = readTrials(pair[1]);
    if (own === undefined) return undefined;
    backends.set(pair[0], own);
  }
  return backends;
}

function readTrials(value: unknown): Trials | undefined {
  if (!isRecord(value)) return undefined;
  const { over, ripe, ripeSpread = 0, conversions, quality, rated, pending } = value;
  if (!isCount(over) || !isCount(ripe) || !isCount(conversions) || !isCount(quality) || !isCount(rated))
    return undefined;
  if (!isCount(ripeSpread)) return undefined;
  if (!Array.isArray(pending) || pending.length > BUCKETS_MOST) return undefined;
  const buckets: [number, number][] = [];
  for (const pair of pending) {
    if (!Array.isArray(pair) || !Number.isSafeInteger(pair[0]) || !isCount(pair[1])) return undefined;
    const bucket = pair[0] as number;
    // The oldest first: what is learned later is put in its place by this.
    if (bucket <= (buckets.at(-1)?.[0] ?? -Infinity)) return undefined;
    buckets.push([bucket, pair[1]]);
  }
  return { over, ripe, ripeSpread, conversions, quality, rated, pending: buckets };
}

const isSlope = (value: unknown): value is Slope =>
  isRecord(value) && isNumber(value['slope']) && isCount(value['variance']);

const areCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length === DELAY_BINS && value.every(isCount);

const isCount = (value: unknown): value is number => isNumber(value) && value >= 0;

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
