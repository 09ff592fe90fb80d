import { interval95, type Interval } from '../pacing/interval.js';

/**
 * The mean of runs whose values were partly luck that is known: each run's `control` is what it drew of something whose expectation
 * is 0. The mean is that of the regression where the control is 0 (Lavenberg and Welch, Management Science 27, 1981), its interval
 * by Student's t over jackknife pseudo-values, so that the doubt about the slope is in it.
 */
export function controlledInterval95(values: readonly number[], control: readonly number[]): Interval {
  const all = atZero(values, control);
  const n = values.length;
  const without = (of: readonly number[], i: number): number[] => of.filter((_, at) => at !== i);
  const pseudo = values.map((_, i) => n * all - (n - 1) * atZero(without(values, i), without(control, i)));
  return interval95(pseudo);
}

function atZero(values: readonly number[], control: readonly number[]): number {
  const mean = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0) / of.length;
  const [meanValue, meanControl] = [mean(values), mean(control)];
  const covariance = mean(values.map((v, i) => (v - meanValue) * (control[i]! - meanControl)));
  const variance = mean(control.map((c) => (c - meanControl) ** 2));
  return meanValue - (variance > 0 ? covariance / variance : 0) * meanControl;
}
