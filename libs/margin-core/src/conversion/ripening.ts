import { DELAY_BINS, learnedShares, PRIOR_SHARES, seenOfBins } from './delay.js';
import { CONVERSION_HALF_LIFE_MS, type OrgConversion, type Segment } from './segments.js';
import { slopeOf } from './slope.js';
import { bringForward, BUCKETS_A_WINDOW, type Trials } from './trials.js';

/** The state is brought forward in steps of this share of the window (an hour of a fortnight): a step touches every number. */
const STEPS_A_WINDOW = 336;

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
  const oldest = oldestOpen(state, nowMs);
  const seen = seenByBucket(state, oldest, nowMs);
  const org = state.segments.get('') as Segment;
  for (const segment of state.segments.values()) {
    for (let bin = 0; bin < DELAY_BINS; bin++) segment.delays[bin] = (segment.delays[bin] as number) * factor;
    segment.revenueUsd *= factor;
    segment.paid *= factor;
    const parent = segment === org ? PRIOR_SHARES : (state.segments.get(segment.parent) ?? org).shares;
    segment.shares = learnedShares(segment.delays, exposedOf(segment.all, factor, seen), parent);
    const ripenessOf = ripenessIn(segment.shares, seen);
    bringForward(segment.all, factor, oldest, ripenessOf);
    for (const own of segment.backends.values()) bringForward(own, factor, oldest, ripenessOf);
  }
  state.slope = slopeOf(state);
}

/** Of each open bucket, how much of each bin of delay its requests have been through. */
function seenByBucket(state: OrgConversion, oldest: number, nowMs: number): Map<number, number[]> {
  const widthMs = state.windowMs / BUCKETS_A_WINDOW;
  const seen = new Map<number, number[]>();
  for (let bucket = oldest; bucket * widthMs <= nowMs; bucket++)
    seen.set(bucket, seenOfBins(Math.max(0, nowMs - (bucket + 1) * widthMs), nowMs - bucket * widthMs, state.windowMs));
  return seen;
}

/** Requests that have been through each bin, whether or not they converted. */
function exposedOf(own: Trials, factor: number, seen: ReadonlyMap<number, number[]>): number[] {
  const exposed = Array.from({ length: DELAY_BINS }, () => own.over * factor);
  for (const [bucket, requests] of own.pending) {
    const through = seen.get(bucket);
    for (let bin = 0; bin < DELAY_BINS; bin++)
      exposed[bin] = (exposed[bin] as number) + requests * factor * (through?.[bin] ?? 1);
  }
  return exposed;
}

/** The share of its conversions that a bucket has brought by now. */
function ripenessIn(shares: readonly number[], seen: ReadonlyMap<number, number[]>): (bucket: number) => number {
  const ripeness = new Map<number, number>();
  for (const [bucket, through] of seen)
    ripeness.set(
      bucket,
      through.reduce((sum, share, bin) => sum + share * (shares[bin] as number), 0),
    );
  return (bucket) => ripeness.get(bucket) ?? 0;
}
