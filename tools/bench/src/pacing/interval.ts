export interface Interval {
  mean: number;
  low: number;
  high: number;
}

/** The mean of independent runs with its 95 % interval by Student's t (quantile by Cornish and Fisher). One run: no width is known. */
export function interval95(values: readonly number[]): Interval {
  const count = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / count;
  if (count < 2) return { mean, low: NaN, high: NaN };
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (count - 1);
  const [z, free] = [1.959964, count - 1];
  const t = z + (z ** 3 + z) / (4 * free) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * free ** 2);
  const half = t * Math.sqrt(variance / count);
  return { mean, low: mean - half, high: mean + half };
}
