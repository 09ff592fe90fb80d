import type { ThroughputConfig, Usage } from '@meritorder/contracts';
import { over, plus, ratio, ratioOf, times, type Ratio } from './ratio.js';
import { quantity, type GpuSeconds, type PicosPerToken } from './units.js';
import type { NanosPerGpuSecond } from './units.js';

/** Tokens per second of one replica, all streams together, at a batch size. */
export interface DecodePoint {
  batch: number;
  tokensPerSecond: number;
}

/** How fast one replica is at the batch size it runs at, and how that is known. */
export interface Throughput {
  gpus: number;
  prefillTokensPerSecond: number;
  prefillCounts: ThroughputConfig['prefillCounts'];
  decodeTokensPerSecond: number;
  batch: number;
  prefillBasis: 'configured' | 'fitted';
  decodeBasis: 'configured' | 'fitted';
  /** Attempts whose timings the fitted rates rest on. */
  attempts: number;
}

export function configuredThroughput(config: ThroughputConfig): Throughput {
  return {
    gpus: config.gpus,
    prefillTokensPerSecond: config.prefillTokensPerSecond,
    prefillCounts: config.prefillCounts,
    decodeTokensPerSecond:
      typeof config.decodeTokensPerSecond === 'number'
        ? config.decodeTokensPerSecond
        : decodeAtBatch(
            config.decodeTokensPerSecond.map((p) => ({ batch: p.batch, tokensPerSecond: p.tokensPerSecond })),
            config.batch,
          ),
    batch: config.batch,
    prefillBasis: 'configured',
    decodeBasis: 'configured',
    attempts: 0,
  };
}

/**
 * The decode rate at a batch size: between two points a straight line on logarithmic axes. Below the smallest batch in
 * proportion to the batch, above the largest no faster: both err on the slow side.
 * @param points at least one; in any order.
 */
export function decodeAtBatch(points: readonly DecodePoint[], batch: number): number {
  const sorted = points.toSorted((a, b) => a.batch - b.batch);
  const above = sorted.findIndex((p) => p.batch >= batch);
  if (above < 0) return sorted.at(-1)!.tokensPerSecond;
  const right = sorted[above]!;
  if (right.batch === batch) return right.tokensPerSecond;
  const left = sorted[above - 1];
  if (!left) return right.tokensPerSecond * (batch / right.batch);
  const position = Math.log(batch / left.batch) / Math.log(right.batch / left.batch);
  return left.tokensPerSecond * (right.tokensPerSecond / left.tokensPerSecond) ** position;
}

/** Counts that the GPU works for; tokens may be a sum over many attempts. */
export type TokenCounts = Pick<
  Usage,
  'inputTokens' | 'cacheReadTokens' | 'cacheWrite5mTokens' | 'cacheWrite1hTokens' | 'outputTokens'
>;

/** Input tokens that the prefill rate counts: all of them, or all but cache hits. */
export function prefillTokens(throughput: Pick<Throughput, 'prefillCounts'>, tokens: TokenCounts): number {
  const uncached = tokens.inputTokens + tokens.cacheWrite5mTokens + tokens.cacheWrite1hTokens;
  return throughput.prefillCounts === 'all' ? uncached + tokens.cacheReadTokens : uncached;
}

/** `GPUs x (input / prefill rate + output / decode rate)`: how long the tokens keep GPUs busy at these rates. */
export function gpuSecondsOf(throughput: Throughput, tokens: TokenCounts): GpuSeconds {
  const { gpus, prefillTokensPerSecond, decodeTokensPerSecond } = throughput;
  const seconds = plus(
    over(ratioOf(prefillTokens(throughput, tokens)), ratioOf(prefillTokensPerSecond)),
    over(ratioOf(tokens.outputTokens), ratioOf(decodeTokensPerSecond)),
  );
  return quantity(times(ratioOf(gpus), seconds));
}

/** What one token costs that keeps all GPUs of a replica busy for 1/rate seconds. */
export function perToken(price: NanosPerGpuSecond, gpus: number, rate: number): PicosPerToken {
  return quantity(over(times(times(price, ratioOf(gpus)), PICOS_PER_NANO), ratioOf(rate)));
}

const PICOS_PER_NANO: Ratio = ratio(1_000n);
