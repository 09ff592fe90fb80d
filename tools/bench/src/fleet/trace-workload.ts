import { seededRandom } from '@meritorder/kernel';
import { stretched, workloadOf, type Workload } from '@meritorder/simulation-core';
import { readTrace } from '../replay/trace.js';
import { exponential } from './random-draws.js';

/** A date at which the prices are in force. */
export const FROM_MS = Date.parse('2026-09-01T00:00:00Z');

/** Of a trace, at its own pace. @throws Error naming file and line of what cannot be read */
export function traceWorkload(file: string): Workload {
  return workloadOf(
    readTrace(file).map(({ atMs, inputTokens, outputTokens }) => ({
      atMs: FROM_MS + atMs,
      inputTokens,
      outputTokens,
      profile: { attributes: {} },
    })),
  );
}

/** The same in 1/speed of the time. */
export function faster(workload: Workload, speed: number): Workload {
  return stretched(workload, { speed, fromMs: FROM_MS });
}

/** The lengths of the sample, drawn again, as a Poisson stream. */
export function poissonOf(sample: Workload, perSecond: number, requests: number, seed: number): Workload {
  const random = seededRandom(seed);
  let atMs = FROM_MS;
  return workloadOf(
    Array.from({ length: requests }, () => {
      atMs += exponential(random, 1_000 / perSecond);
      const row = Math.floor(random() * sample.atMs.length);
      return {
        atMs,
        inputTokens: sample.inputTokens[row]!,
        outputTokens: sample.outputTokens[row]!,
        profile: { attributes: {} },
      };
    }),
  );
}
