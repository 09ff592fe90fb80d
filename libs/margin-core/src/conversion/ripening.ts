import { DELAY_BINS, seenOfBins, type LearnedDelay } from './delay.js';
import { meanShares, supposedDelays } from './delay-belief.js';
import { CONVERSION_HALF_LIFE_MS, SEGMENT_LEVELS_MOST, type OrgConversion, type Segment } from './segments.js';
import { slopeOf } from './slope.js';
import { answeredOf, bringForward, BUCKETS_A_WINDOW, type SupposedRipeness, type Trials } from './trials.js';

/** The state is brought forward in steps of this share of the window (an hour of a fortnight): a step touches every number. */
const STEPS_A_WINDOW = 336;
/** What is learned between steps is counted at once where it is more than this share of what a segment knew. */
const FRESH_SHARE = 0.05;

/** What a request of that time counts, against one of the time that the state was brought forward to. */
export function weightOf(state: OrgConversion, requestedAtMs: number): number {
  return 2 ** ((requestedAtMs - state.broughtForwardMs) / CONVERSION_HALF_LIFE_MS);
}

/** The bucket of time that a request falls into. */
export const bucketOf = (state: OrgConversion, atMs: number) => Math.floor((atMs * BUCKETS_A_WINDOW) / state.windowMs);
/** The first bucket of which some request may still convert. */
export const oldestOpen = (state: OrgConversion, atMs: number) => bucketOf(state, atMs - state.windowMs);

/**
 * Lets what is known decay, ripen, and be learned from: half of the evidence is gone after CONVERSION_HALF_LIFE_MS, and an open
 * request counts by the share of conversions that have come by its age (Vernade, Cappé and Perchet 2017: conversions over the
 * sum of these is unbiased). Learning does it; a service that only predicts calls it now and then. Time never runs backwards.
 */
export function bringConversionForward(state: OrgConversion, nowMs: number): void {
  if (nowMs - state.broughtForwardMs >= state.windowMs / STEPS_A_WINDOW) ripenConversion(state, nowMs);
}

/** The same at once, for who learns everything and then asks. @param nowMs not before the state's own time */
export function ripenConversion(state: OrgConversion, nowMs: number): void {
  const elapsedMs = nowMs - state.broughtForwardMs;
  if (!(elapsedMs >= 0)) return;
  const factor = 2 ** (-elapsedMs / CONVERSION_HALF_LIFE_MS);
  state.broughtForwardMs = nowMs;
  state.ripenedMs = nowMs;
  const seen = seenByBucket(state, nowMs);
  for (const segment of generalFirst(state)) ripenSegment(state, segment, factor, seen);
  state.slope = slopeOf(state);
}

/**
 * Counts again how ripe segments are of which much was learned since; the more is known, the rarer. So the first conversions tell
 * of delays as they come.
 *
 * @param segments of one chain, the general first
 */
export function ripenFresh(state: OrgConversion, segments: readonly Segment[], nowMs: number): void {
  const fresh = segments.filter(
    ({ fresh: { requests, conversions, requestsMost, conversionsMost } }) =>
      requests > requestsMost || conversions > conversionsMost,
  );
  // At one time nobody grows older: who learns much at once does not count each time.
  if (fresh.length === 0 || nowMs <= state.ripenedMs) return;
  state.ripenedMs = nowMs;
  const seen = seenByBucket(state, Math.max(nowMs, state.broughtForwardMs));
  for (const segment of fresh) ripenSegment(state, segment, 1, seen);
}

/** What was seen of the open buckets. */
interface Seen {
  /** The first of them. */
  readonly oldest: number;
  /** By bucket from there, how much of each bin its requests have been through. */
  readonly through: readonly (readonly number[])[];
  /** Of the same requests, the first bin that any is not yet beyond, and the shares that are through that one at last, or the next. */
  readonly last: readonly { readonly from: number; readonly shares: readonly number[] }[];
}

function ripenSegment(state: OrgConversion, segment: Segment, factor: number, seen: Seen): void {
  for (let bin = 0; bin < DELAY_BINS; bin++) segment.delays[bin] = (segment.delays[bin] as number) * factor;
  segment.revenueUsd *= factor;
  segment.paid *= factor;
  const org = state.segments.get('') as Segment;
  const above = segment === org ? undefined : (state.segments.get(segment.parent) ?? org).shares;
  const supposed = supposedDelays(segment.delays, exposedOf(segment.all, factor, seen), above);
  segment.shares = meanShares(supposed);
  const ripeness = supposed.map((one) => ({ chance: one.chance, ...ripenessIn(one, seen) }));
  bringForward(segment.all, factor, seen.oldest, ripeness);
  for (const own of segment.backends.values()) bringForward(own, factor, seen.oldest, ripeness);
  segment.fresh.requests = 0;
  segment.fresh.conversions = 0;
  segment.fresh.requestsMost = FRESH_SHARE * answeredOf(segment.all);
  segment.fresh.conversionsMost = FRESH_SHARE * segment.all.conversions;
}

/** Each segment behind the one above it, whose delays it starts from. */
function generalFirst(state: OrgConversion): Segment[] {
  const org = state.segments.get('') as Segment;
  const depthOf = (segment: Segment, atMost = SEGMENT_LEVELS_MOST): number =>
    segment === org || atMost === 0 ? 0 : 1 + depthOf(state.segments.get(segment.parent) ?? org, atMost - 1);
  return [...state.segments.values()]
    .map((segment) => ({ segment, depth: depthOf(segment) }))
    .sort((a, b) => a.depth - b.depth)
    .map(({ segment }) => segment);
}

function seenByBucket(state: OrgConversion, nowMs: number): Seen {
  const widthMs = state.windowMs / BUCKETS_A_WINDOW;
  const oldest = oldestOpen(state, nowMs);
  const through: number[][] = [];
  for (let bucket = oldest; bucket * widthMs <= nowMs; bucket++) {
    const youngestMs = Math.max(0, nowMs - (bucket + 1) * widthMs);
    // Nobody is older than the first request: ages of a bucket that had begun before it are not spread over all of it.
    const oldestMs = Math.max(youngestMs, nowMs - Math.max(bucket * widthMs, Math.min(state.sinceMs, nowMs)));
    through.push(seenOfBins(youngestMs, oldestMs, state.windowMs));
  }
  return { oldest, through, last: through.map(lastOf) };
}

function lastOf(through: readonly number[]): Seen['last'][number] {
  let from = 0;
  while (from < DELAY_BINS - 1 && (through[from + 1] as number) >= 1) from++;
  const shares: number[] = [];
  for (let bin = from; bin < DELAY_BINS && (through[bin] as number) > 0; bin++)
    shares.push((through[bin] as number) - (through[bin + 1] ?? 0));
  return { from, shares };
}

/** Requests that have been through each bin, whether or not they converted. */
function exposedOf(own: Trials, factor: number, { oldest, through }: Seen): number[] {
  const exposed = Array.from<number>({ length: DELAY_BINS }).fill(own.over * factor);
  for (const [bucket, requests] of own.pending) {
    const here = through[bucket - oldest];
    for (let bin = 0; bin < DELAY_BINS; bin++)
      exposed[bin] = (exposed[bin] as number) + requests * factor * (here === undefined ? 1 : (here[bin] as number));
  }
  return exposed;
}

/** The share of its conversions that a bucket has brought by now: the mean over the ages of its requests. */
function ripenessIn({ shares, deviations }: LearnedDelay, { oldest, last }: Seen): Omit<SupposedRipeness, 'chance'> {
  const upTo: number[] = [];
  let sum = 0;
  for (const share of shares) upTo.push((sum += share));
  const ripe: number[] = [];
  const deviation: number[] = [];
  for (const { from, shares: these } of last) {
    let [ripeHere, deviationHere] = [0, 0];
    for (let i = 0; i < these.length; i++) {
      const part = (these[i] as number) * (upTo[from + i] as number);
      ripeHere += part;
      deviationHere += part * (deviations[from + i] as number);
    }
    ripe.push(ripeHere);
    deviation.push(deviationHere);
  }
  return { oldest, ripe, deviation };
}
