import type { HedgingConfig } from '@meritorder/contracts';
import type { Able } from '@meritorder/routing-core';
import type { Loads } from './ports.js';

/** Standard deviations between the middle and the 95th percentile of a normal distribution. */
const Z_OF_P95 = 1.645;

/** How long an attempt may show no token, or no answer where it does not stream, before it gets a hedge: as configured, or as learned. */
export function hedgeAfterSeconds(
  loads: Pick<Loads, 'hedgeAfterSeconds'>,
  { backend, estimate, maxTokens }: Able,
  { afterSeconds, afterShare }: HedgingConfig,
  { choices, streams }: { choices: number; streams: boolean },
  nowMs: number,
): number {
  if (afterSeconds !== undefined) return afterSeconds;
  const outputTokens = Math.max(1, Math.min(maxTokens, estimate.outputTokensExpected));
  const longTokens = Math.min(maxTokens, estimate.outputTokensP95);
  return loads.hedgeAfterSeconds(
    backend,
    {
      inputTokens: estimate.inputTokensExpected,
      cacheReadTokens: estimate.cacheReadTokensExpected,
      outputTokens: outputTokens * choices,
    },
    { streams, outputDeviation: Math.max(0, Math.log(longTokens / outputTokens) / Z_OF_P95), share: afterShare },
    nowMs,
  );
}
