import { invariant } from '@meritorder/kernel';
import type { LogNormal } from './normal.js';

/**
 * How a backend's times compare with what its prior says, as logarithms of the ratio: so one memory serves all lengths of requests
 * and all loads, whose effect the prior knows. Plain JSON of constant size.
 */
export interface LearnedLatency {
  readonly firstToken: LearnedRatio;
  readonly perOutputToken: LearnedRatio;
}

export interface LearnedRatio {
  /** Decayed number of observations. */
  readonly weight: number;
  readonly meanLog: number;
  /** Decayed sum of squared deviations of the logarithm. */
  readonly squares: number;
  /** Epoch milliseconds of the last one; what is known fades with time. */
  readonly atMs: number;
}

/** What a request is expected to take before anything is learned; seconds, above 0. */
export interface LatencyPrior {
  /** From dispatch, or from a free slot, to the first token. */
  readonly firstTokenSeconds: number;
  readonly secondsPerOutputToken: number;
}

/** One attempt: what it took, and what the prior said for its length and load. Undefined: not seen. */
export interface LatencyObservation {
  readonly prior: LatencyPrior;
  readonly firstTokenSeconds?: number | undefined;
  readonly secondsPerOutputToken?: number | undefined;
}

const NOTHING: LearnedRatio = { weight: 0, meanLog: 0, squares: 0, atMs: 0 };
export const NO_LATENCY: LearnedLatency = { firstToken: NOTHING, perOutputToken: NOTHING };

/** Providers and engines change within the hour: what was seen counts half after so long. A policy. */
const HALF_LIFE_MS = 600_000;
/** More than so many recent observations add nothing but inertia. */
const MOST_WEIGHT = 500;
/** The prior counts as so many observations, with this deviation of the logarithm: a factor of 1.65 either way. */
const PRIOR_WEIGHT = 4;
const PRIOR_DEVIATION = 0.5;
/** One stall, or a clock that jumped, must not decide: a ratio counts as at most this factor from the prior. */
const FURTHEST_LOG = Math.log(100);

/** @throws InvariantError for a prior that is not above 0. Times that are not above 0 are not learned from. */
export function observeLatency(
  learned: LearnedLatency,
  { prior, firstTokenSeconds, secondsPerOutputToken }: LatencyObservation,
  nowMs: number,
): LearnedLatency {
  return {
    firstToken: observe(learned.firstToken, firstTokenSeconds, prior.firstTokenSeconds, nowMs),
    perOutputToken: observe(learned.perOutputToken, secondsPerOutputToken, prior.secondsPerOutputToken, nowMs),
  };
}

function observe(ratio: LearnedRatio, seconds: number | undefined, expected: number, nowMs: number): LearnedRatio {
  invariant(expected > 0 && expected < Infinity, `a prior of ${expected} s is not above 0`);
  if (seconds === undefined || !(seconds > 0) || seconds === Infinity) return ratio;
  const log = Math.min(FURTHEST_LOG, Math.max(-FURTHEST_LOG, Math.log(seconds / expected)));
  const kept = Math.min(faded(ratio, nowMs), MOST_WEIGHT - 1);
  const weight = kept + 1;
  const away = log - ratio.meanLog;
  const meanLog = ratio.meanLog + away / weight;
  const before = ratio.weight > 0 ? ratio.squares * (kept / ratio.weight) : 0;
  return { weight, meanLog, squares: before + away * (log - meanLog), atMs: Math.max(nowMs, ratio.atMs) };
}

function faded({ weight, atMs }: LearnedRatio, nowMs: number): number {
  return weight * 2 ** (-Math.max(0, nowMs - atMs) / HALF_LIFE_MS);
}

/** From so many recent answers on what was measured counts alone. A policy: fewer may have met one stall. */
const LEAST_MEASURED = 2;

/**
 * Whether that many were seen lately or are on their way: the latter count, so that a backend that is not known is tried by a few,
 * and not by all that come before the first answers.
 */
export function isMeasured({ firstToken }: LearnedLatency, inFlight: number, nowMs: number): boolean {
  return faded(firstToken, nowMs) + inFlight >= LEAST_MEASURED;
}

/** After how many seconds without another answer too few are left; 0: they are now. */
export function measuresFadeInSeconds({ firstToken }: LearnedLatency, nowMs: number): number {
  const weight = faded(firstToken, nowMs);
  return weight <= LEAST_MEASURED ? 0 : (HALF_LIFE_MS * Math.log2(weight / LEAST_MEASURED)) / 1_000;
}

/**
 * As `learnedTime`, with its middle not drawn towards the prior: one that is far off would outweigh the answers for long. The
 * spread is, for that of a few answers says little, and the mean grows with it.
 */
export function measuredTime(ratio: LearnedRatio, expected: number, nowMs: number): LogNormal {
  const kept = faded(ratio, nowMs);
  if (kept < LEAST_MEASURED) return learnedTime(ratio, expected, nowMs);
  const squares = ratio.squares * (kept / ratio.weight);
  return {
    meanLog: Math.log(expected) + ratio.meanLog,
    varianceLog: (squares + PRIOR_WEIGHT * PRIOR_DEVIATION ** 2) / (kept + PRIOR_WEIGHT),
  };
}

/** The distribution of a time whose prior is `expected` seconds: the ratio as learned, drawn towards 1 while little is known. */
export function learnedTime(ratio: LearnedRatio, expected: number, nowMs: number): LogNormal {
  const kept = faded(ratio, nowMs);
  const share = kept / (kept + PRIOR_WEIGHT);
  const squares = ratio.weight > 0 ? ratio.squares * (kept / ratio.weight) : 0;
  // The spread around the drawn mean, and the doubt about that mean: both are what the next one may differ by.
  const between = (kept * PRIOR_WEIGHT * ratio.meanLog ** 2) / (kept + PRIOR_WEIGHT);
  const varianceLog = (squares + PRIOR_WEIGHT * PRIOR_DEVIATION ** 2 + between) / (kept + PRIOR_WEIGHT);
  return { meanLog: Math.log(expected) + share * ratio.meanLog, varianceLog };
}
