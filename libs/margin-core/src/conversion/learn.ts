import { invariant } from '@meritorder/kernel';
import { delayBin } from './delay.js';
import { bringConversionForward, bucketOf, oldestOpen, ripenFresh, weightOf } from './ripening.js';
import {
  backendToLearn,
  NAME_LENGTH_MOST,
  SEGMENT_LEVELS_MOST,
  segmentsToLearn,
  type OrgConversion,
  type Segment,
} from './segments.js';
import { addOver, addTrial } from './trials.js';

/** A request that was answered, as far as its conversion depends on it. */
export interface Trial {
  /** From general to specific, at most SEGMENT_LEVELS_MOST; none: the org as a whole. */
  readonly segment: readonly string[];
  readonly backend: string;
  readonly requestedAtMs: number;
  /** What was expected of the answer, 0..1. */
  readonly quality?: number;
  /** Of so many such requests at once, at least 0; default 1. */
  readonly requests?: number;
}

/**
 * Counts a request that was answered, once; or many of one time. Trials and outcomes may come in any order. A time ahead of ours counts as now.
 *
 * @throws InvariantError on names that are empty or too long, too many levels, or numbers that are out of range
 */
export function learnTrial(state: OrgConversion, trial: Trial, nowMs: number): void {
  const { quality, requests = 1 } = trial;
  checkRequest(trial);
  invariant(requests >= 0 && Number.isFinite(requests), `${requests} requests are not at least 0`);
  invariant(quality === undefined || (quality >= 0 && quality <= 1), `quality ${quality} is not within 0..1`);
  bringConversionForward(state, nowMs);
  const requestedAtMs = Math.min(trial.requestedAtMs, nowMs);
  const weight = requests * weightOf(state, requestedAtMs);
  const bucket = bucketOf(state, requestedAtMs);
  const isOver = bucket < oldestOpen(state, state.broughtForwardMs);
  const segments = segmentsToLearn(state, trial.segment);
  (segments.at(-1) as Segment).last = true;
  state.sinceMs = Math.min(state.sinceMs, requestedAtMs);
  for (const segment of segments) {
    segment.fresh.requests += weight;
    for (const own of [segment.all, backendToLearn(segment, trial.backend)])
      if (isOver) addOver(own, weight, quality);
      else addTrial(own, bucket, weight, quality, segment.shares[0] as number);
  }
  ripenFresh(state, segments, nowMs);
}

/** What became known of a request: the change that it makes, since nothing is kept of single requests. */
export interface ConversionOutcome extends Omit<Trial, 'quality' | 'requests'> {
  readonly occurredAtMs: number;
  /** What is known of the request from now on, and what was known before: the caller's record of it. */
  readonly converted: boolean;
  readonly wasConverted: boolean;
  /** What this outcome adds, USD; below 0: a refund. Not stated when a conversion is taken back: what such a one brings. */
  readonly revenueUsd?: number;
}

/**
 * `late`: the conversion came after its window, when the request had counted as one without; neither it nor its revenue counts.
 * `revenue-only`: whether it converted stays as it was.
 */
export type OutcomeEffect = 'converted' | 'taken-back' | 'revenue-only' | 'late';

/**
 * Learns an outcome. It adds what it is told: an outcome that comes twice is the caller's to notice by its id. One that comes
 * twice with `wasConverted` true converts once, but its revenue adds again. What was taken back or refunded counts however late
 * it comes, with the weight of its request. `converted: false` of a request that had not converted says what silence says, and
 * counts as its request ripens: to count it before conversions that are still to come would understate the rate.
 *
 * @throws InvariantError as `learnTrial`
 */
export function learnConversion(state: OrgConversion, outcome: ConversionOutcome, nowMs: number): OutcomeEffect {
  const { converted, wasConverted, revenueUsd } = outcome;
  checkRequest(outcome);
  invariant(Number.isFinite(outcome.occurredAtMs), 'an outcome without a time');
  invariant(revenueUsd === undefined || Number.isFinite(revenueUsd), `a revenue of ${revenueUsd} USD is not finite`);
  bringConversionForward(state, nowMs);
  const requestedAtMs = Math.min(outcome.requestedAtMs, nowMs);
  const delayMs = Math.max(0, outcome.occurredAtMs - requestedAtMs);
  const change = Number(converted) - Number(wasConverted);
  if (change > 0 && delayMs > state.windowMs) return 'late';
  const weight = weightOf(state, requestedAtMs);
  const segments = segmentsToLearn(state, outcome.segment);
  for (const segment of segments) {
    learnRevenue(segment, change, revenueUsd, weight);
    if (change === 0) continue;
    for (const own of [segment.all, backendToLearn(segment, outcome.backend)])
      own.conversions = Math.max(0, own.conversions + change * weight);
    const bin = delayBin(delayMs, state.windowMs);
    // When the conversion that is taken back had come is not known: the delay that it taught stays.
    if (change > 0) segment.delays[bin] = (segment.delays[bin] as number) + weight;
    segment.fresh.conversions += weight;
  }
  ripenFresh(state, segments, nowMs);
  return change > 0 ? 'converted' : change < 0 ? 'taken-back' : 'revenue-only';
}

function learnRevenue(own: Segment, change: number, revenueUsd: number | undefined, weight: number): void {
  const meanUsd = own.paid > 0 ? own.revenueUsd / own.paid : 0;
  // A conversion of unknown revenue does not count in the mean, unless it is taken back: it had counted, or makes no difference.
  const addedUsd = revenueUsd ?? (change < 0 ? -meanUsd : 0);
  if (revenueUsd !== undefined || change < 0) own.paid = Math.max(0, own.paid + change * weight);
  own.revenueUsd += weight * addedUsd;
}

function checkRequest({ segment, backend, requestedAtMs }: Omit<Trial, 'quality' | 'requests'>): void {
  invariant(segment.length <= SEGMENT_LEVELS_MOST, `${segment.length} levels of segments are too many`);
  for (const name of [...segment, backend])
    invariant(
      name.length > 0 && name.length <= NAME_LENGTH_MOST,
      'a segment or backend has no name, or too long a one',
    );
  invariant(Number.isFinite(requestedAtMs), 'a request without a time');
}
