/**
 * The standard normal distribution function, to 7.5e-8 (Abramowitz and Stegun, 26.2.17): seconds of lateness are not known better
 * than that.
 */
export function normalBelow(x: number): number {
  const t = 1 / (1 + 0.231_641_9 * Math.abs(x));
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const above = Math.exp((-x * x) / 2) * 0.398_942_280_4 * series;
  return x >= 0 ? 1 - above : above;
}

/** The value that a share of a standard normal lies below, to 4.5e-4 (Abramowitz and Stegun, 26.2.23). @param share in (0, 1) */
export function normalQuantile(share: number): number {
  const t = Math.sqrt(-2 * Math.log(Math.min(share, 1 - share)));
  const x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  return share < 0.5 ? -x : x;
}

/** A log-normal duration: the mean of its logarithm (of seconds), and the variance of that. */
export interface LogNormal {
  readonly meanLog: number;
  readonly varianceLog: number;
}

export function meanOf({ meanLog, varianceLog }: LogNormal): number {
  return Math.exp(meanLog + varianceLog / 2);
}

/** The log-normal with the mean and the variance of a sum of independent ones (Fenton 1960, Wilkinson). */
export function sumOf(a: LogNormal, b: LogNormal): LogNormal {
  const [meanA, meanB] = [meanOf(a), meanOf(b)];
  const mean = meanA + meanB;
  const variance = meanA * meanA * Math.expm1(a.varianceLog) + meanB * meanB * Math.expm1(b.varianceLog);
  const varianceLog = Math.log1p(variance / (mean * mean));
  return { meanLog: Math.log(mean) - varianceLog / 2, varianceLog };
}

/** P(X > limit). */
export function chanceAbove({ meanLog, varianceLog }: LogNormal, limit: number): number {
  if (limit <= 0) return 1;
  if (varianceLog <= 0) return Math.exp(meanLog) > limit ? 1 : 0;
  return normalBelow((meanLog - Math.log(limit)) / Math.sqrt(varianceLog));
}

/**
 * exp(E[ln X | X > limit]): what one is taken for of which is known only that it was above. The mean of a normal distribution above
 * a limit, mu + s phi(a) / (1 - Phi(a)) (Tobin 1958); far out in the tail, where that quotient is 0 / 0, about the limit itself.
 */
export function middleAbove({ meanLog, varianceLog }: LogNormal, limit: number): number {
  if (limit <= 0) return Math.exp(meanLog);
  const deviation = Math.sqrt(varianceLog);
  const a = (Math.log(limit) - meanLog) / deviation;
  if (!(a < FAR_OUT)) return limit * Math.exp(deviation > 0 ? deviation / a : 0);
  return Math.exp(meanLog + (deviation * density(a)) / normalBelow(-a));
}

/** Standard deviations at which 1 - Phi(a) is phi(a) / a within a tenth, and still well above the error of `normalBelow`. */
const FAR_OUT = 3;

function density(x: number): number {
  return Math.exp((-x * x) / 2) * 0.398_942_280_4;
}

/**
 * E[max(0, X - limit)] = mean Phi(d + s) - limit Phi(d) with d = (mean of ln X - ln limit) / s: the expectation that prices a
 * call option (Black and Scholes 1973), here of being late.
 */
export function expectedExcess(of: LogNormal, limit: number): number {
  const mean = meanOf(of);
  if (limit <= 0) return mean - limit;
  if (of.varianceLog <= 0) return Math.max(0, mean - limit);
  const deviation = Math.sqrt(of.varianceLog);
  const d = (of.meanLog - Math.log(limit)) / deviation;
  return Math.max(0, mean * normalBelow(d + deviation) - limit * normalBelow(d));
}
