import { workSeconds, type EngineSpeed, type TokenWork } from '../congestion/replica-shape.js';
import { learnedTime, type LatencyPrior, type LearnedLatency } from './learned-latency.js';
import { chanceAbove, expectedExcess, meanOf, middleAbove, normalQuantile, sumOf, type LogNormal } from './normal.js';

/** When an answer is complete: a wait that is known, and then a log-normal time. Seconds. */
export interface Latency {
  readonly waitSeconds: number;
  readonly firstToken: LogNormal;
  /** First token and all others. */
  readonly answer: LogNormal;
}

/** For a cloud backend where the operator says nothing: the usual order of magnitude. Learned from there. */
export const CLOUD_PRIOR: LatencyPrior = { firstTokenSeconds: 0.6, secondsPerOutputToken: 0.02 };

/**
 * What an engine's curve says of one request among `inFlight` (it included) that share the replica: n of them take n times as long
 * over the prompt, and a token comes every n / rate(n) seconds.
 */
export function enginePrior(speed: EngineSpeed, tokens: TokenWork, inFlight: number): LatencyPrior {
  const n = Math.max(1, Math.min(inFlight, speed.decodeTokensPerSecond.length - 1));
  const prompt = workSeconds(speed, { inputTokens: Math.max(1, tokens.inputTokens), outputTokens: 0 }, n);
  const token = workSeconds(speed, { inputTokens: 0, outputTokens: 1 }, n);
  return { firstTokenSeconds: n * (prompt + token), secondsPerOutputToken: n * token };
}

/**
 * @param outputTokens expected
 * @param timeOf how much the prior counts: `measuredTime` leaves it out
 * @param outputDeviation of the logarithm of the output's length, about ln(p95 / median) / 1.645; 0: the length is known
 */
export function latencyOf(
  learned: LearnedLatency,
  prior: LatencyPrior,
  request: { outputTokens: number; outputDeviation?: number; waitSeconds?: number },
  nowMs: number,
  timeOf = learnedTime,
): Latency {
  const { outputTokens, outputDeviation = 0, waitSeconds = 0 } = request;
  const firstToken = timeOf(learned.firstToken, prior.firstTokenSeconds, nowMs);
  const more = outputTokens - 1;
  if (!(more > 0)) return { waitSeconds, firstToken, answer: firstToken };
  const perToken = timeOf(learned.perOutputToken, prior.secondsPerOutputToken, nowMs);
  // `outputTokens` is the mean length, so the logarithm's mean is lower by half its variance.
  const spread = outputDeviation ** 2;
  const rest: LogNormal = {
    meanLog: perToken.meanLog + Math.log(more) - spread / 2,
    varianceLog: perToken.varianceLog + spread,
  };
  return { waitSeconds, firstToken, answer: sumOf(firstToken, rest) };
}

export function expectedSeconds({ waitSeconds, answer }: Latency): number {
  return waitSeconds + meanOf(answer);
}

export function expectedFirstTokenSeconds({ waitSeconds, firstToken }: Latency): number {
  return waitSeconds + meanOf(firstToken);
}

/** Most that an answer, and the first token of a stream, may be expected to take, seconds; undefined: no ceiling. */
export interface LatencyCeilings {
  readonly maxLatencySeconds?: number | undefined;
  readonly maxFirstTokenSeconds?: number | undefined;
}

/** What of a measured latency is held against ceilings. */
export function timesFor(
  { maxLatencySeconds, maxFirstTokenSeconds }: LatencyCeilings,
  measured: Latency,
): { measuredSeconds?: number; measuredFirstTokenSeconds?: number } {
  return {
    ...(maxLatencySeconds === undefined ? {} : { measuredSeconds: expectedSeconds(measured) }),
    ...(maxFirstTokenSeconds === undefined ? {} : { measuredFirstTokenSeconds: expectedFirstTokenSeconds(measured) }),
  };
}

/** E[max(0, latency - deadline)], seconds. @param deadlineSeconds from now; below 0: it has passed */
export function expectedLateSeconds({ waitSeconds, answer }: Latency, deadlineSeconds: number): number {
  return expectedExcess(answer, deadlineSeconds - waitSeconds);
}

/**
 * What an attempt that was broken off is taken to have taken, which was at least so long (a censored observation); undefined: it
 * was broken off before its time, which says nothing.
 */
export function secondsWhereAtLeast(time: LogNormal, seconds: number): number | undefined {
  return seconds > Math.exp(time.meanLog) ? middleAbove(time, seconds) : undefined;
}

/** P(latency > deadline): what a second more adds to the expected lateness. */
export function chanceLate({ waitSeconds, answer }: Latency, deadlineSeconds: number): number {
  return chanceAbove(answer, deadlineSeconds - waitSeconds);
}

/** After how long without a first token a second call is worth its money: the learned quantile. @param share in (0, 1) */
export function hedgeAfterSeconds({ waitSeconds, firstToken }: Latency, share = 0.95): number {
  return waitSeconds + Math.exp(firstToken.meanLog + Math.sqrt(firstToken.varianceLog) * normalQuantile(share));
}
