import { CLOUD_PRIOR, enginePrior } from '../latency/latency.js';
import type { LatencyPrior } from '../latency/learned-latency.js';
import { Congestion } from './congestion.js';
import { batchingShape, slotsShape, type EngineSpeed, type TokenWork } from './replica-shape.js';

/**
 * What a second of waiting is worth to a request of the mix where the policy does not say, USD: it makes a replica that fills
 * dearer. A tenth of a cent for ten seconds; a policy, not a measurement.
 */
export const USD_PER_SECOND_WAITED = 0.0001;
/** Of an attempt before any was seen: tokens of a question and an answer of ordinary length. */
export const MEAN_WORK_AT_START: TokenWork = { inputTokens: 1_000, outputTokens: 200 };
/** Attempts after which one counts 1/e in the mean. */
const MEAN_MEMORY = 200;
/** A shape is made again when the mean work has moved by this factor. */
const SHAPE_MOVES = 1.25;

/** The mean work after one more attempt. */
export function meanWork(mean: TokenWork, work: TokenWork): TokenWork {
  const share = 1 / MEAN_MEMORY;
  return {
    inputTokens: mean.inputTokens * (1 - share) + work.inputTokens * share,
    outputTokens: mean.outputTokens * (1 - share) + work.outputTokens * share,
  };
}

/** Whether a shape made for one mean work is too far from another. */
export function workHasMoved(from: TokenWork, to: TokenWork): boolean {
  const moved = (a: number, b: number): boolean => Math.max(a, b) > SHAPE_MOVES * Math.max(1, Math.min(a, b));
  return moved(from.inputTokens, to.inputTokens) || moved(from.outputTokens, to.outputTokens);
}

/** What a backend is expected to take before anything was seen: as configured, by its engine's speed, or as a cloud does. */
export function backendPrior(
  configured: { firstTokenSeconds: number; secondsPerToken: number } | undefined,
  speed: EngineSpeed | undefined,
  work: TokenWork,
  inFlight: number,
): LatencyPrior {
  if (configured)
    return { firstTokenSeconds: configured.firstTokenSeconds, secondsPerOutputToken: configured.secondsPerToken };
  return speed ? enginePrior(speed, work, inFlight) : CLOUD_PRIOR;
}

/** The congestion of own hardware for a mix; where no speed is known, of slots that do not slow each other down. */
export function ownCongestion(
  speed: EngineSpeed | undefined,
  capacity: number,
  mean: TokenWork,
  prior: LatencyPrior,
): Congestion {
  if (speed) return new Congestion(batchingShape(speed, mean));
  return new Congestion(
    slotsShape(capacity, prior.firstTokenSeconds + prior.secondsPerOutputToken * mean.outputTokens),
  );
}
