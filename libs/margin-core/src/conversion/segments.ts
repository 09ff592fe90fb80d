import { invariant } from '@meritorder/kernel';
import { DELAY_BINS } from './delay.js';
import { PRIOR_SHARES } from './delay-belief.js';
import { noSlope, type Slope } from './slope.js';
import { noTrials, type Trials } from './trials.js';

/** What is known of one segment of an org's requests. */
export interface Segment {
  /** The more general segment that it was last named under; of the org as a whole, ''. */
  parent: string;
  /** Whatever the backend. */
  readonly all: Trials;
  /** By backend, the least recently learned first; at most BACKENDS_PER_SEGMENT. */
  readonly backends: Map<string, Trials>;
  /** Conversions by bin of delay, and the shares that are learned from them. */
  readonly delays: number[];
  shares: number[];
  /** Sum of the revenue of conversions, net of refunds, USD; and the conversions that it was stated for. */
  revenueUsd: number;
  paid: number;
  /** Whether requests name it as their most specific segment: the slope is learned from these, so that none counts twice. */
  last: boolean;
  /** Requests and conversions that were learned since it was last counted how ripe it is, and how many may be before it is again. */
  readonly fresh: { requests: number; conversions: number; requestsMost: number; conversionsMost: number };
}

/**
 * What one org has learned of its conversions: nothing of another org is in it. The segment that was least recently learned of
 * gives way; the org as a whole, '', never does.
 */
export interface OrgConversion {
  readonly segments: Map<string, Segment>;
  /** How long after a request its conversion counts, ms. */
  readonly windowMs: number;
  /** As of when everything is decayed and ripe. */
  broughtForwardMs: number;
  /** As of when it was last counted how ripe anything is. */
  ripenedMs: number;
  /** The first request that was learned; none yet: Infinity. */
  sinceMs: number;
  /** Of conversion in quality, over all segments and backends. */
  slope: Slope;
}

export const SEGMENTS_PER_ORG = 128;
export const BACKENDS_PER_SEGMENT = 32;
/** From the most general to the most specific ("premium", "premium/support"). */
export const SEGMENT_LEVELS_MOST = 4;
/** Of a segment's or a backend's name, characters: two values of attribution of 128, and what they are. */
export const NAME_LENGTH_MOST = 300;
/** Economics, section 4. */
export const CONVERSION_HALF_LIFE_MS = 30 * 86_400_000;
export const DEFAULT_OUTCOME_WINDOW_MS = 14 * 86_400_000;

/** @throws InvariantError unless the window is at least a minute and finite */
export function emptyOrgConversion(nowMs: number, windowMs = DEFAULT_OUTCOME_WINDOW_MS): OrgConversion {
  invariant(windowMs >= 60_000 && Number.isFinite(windowMs), `an outcome window of ${windowMs} ms is below a minute`);
  const state: OrgConversion = {
    segments: new Map(),
    windowMs,
    broughtForwardMs: nowMs,
    ripenedMs: -Infinity,
    sinceMs: Infinity,
    slope: noSlope(),
  };
  state.segments.set('', emptySegment());
  return state;
}

export function emptySegment(shares: readonly number[] = PRIOR_SHARES): Segment {
  return {
    parent: '',
    all: noTrials(),
    backends: new Map(),
    delays: Array.from({ length: DELAY_BINS }, () => 0),
    shares: [...shares],
    revenueUsd: 0,
    paid: 0,
    last: false,
    fresh: { requests: 0, conversions: 0, requestsMost: 0, conversionsMost: 0 },
  };
}

/** The segments of a chain with the org first, each now the latest learned of. */
export function segmentsToLearn(state: OrgConversion, chain: readonly string[]): Segment[] {
  // General ones are learned of whenever their specific ones are, so that no segment outlives its parent.
  let above: Segment | undefined;
  return ['', ...chain].map((name, level) => {
    const make = () => emptySegment(above?.shares);
    const own = latest(state.segments, name, make, SEGMENTS_PER_ORG);
    above = own;
    own.parent = level > 1 ? (chain[level - 2] as string) : '';
    return own;
  });
}

export function backendToLearn(segment: Segment, backend: string): Trials {
  return latest(segment.backends, backend, noTrials, BACKENDS_PER_SEGMENT);
}

function latest<V>(map: Map<string, V>, key: string, make: () => V, most: number): V {
  const value = map.get(key) ?? make();
  map.delete(key);
  if (map.size >= most) map.delete(map.keys().next().value as string);
  map.set(key, value);
  return value;
}

/** A request's segments by what it is attributed to, from general to specific: tier, then feature (economics, section 4). */
export function conversionSegment({
  tier,
  feature,
}: {
  readonly tier?: string | null | undefined;
  readonly feature?: string | null | undefined;
}): string[] {
  const ofTier = `tier ${tier ?? 'none'}`;
  return typeof feature === 'string' ? [ofTier, `${ofTier}, feature ${feature}`] : [ofTier];
}
