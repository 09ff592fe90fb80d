import type { EngineCounters, EngineLoad } from './read-engine.js';

export interface CountedAt {
  counters: EngineCounters;
  atMs: number;
}

/**
 * Tokens a second between two readings of running counts, where the engine does not say itself. Of a time in which nothing was
 * generated nothing is said: an idle engine is not a slow one. A count that went down began again.
 */
export function speedBetween(
  before: CountedAt | undefined,
  after: CountedAt | undefined,
): Pick<EngineLoad, 'prefillTokensPerSecond' | 'decodeTokensPerSecond'> {
  if (before === undefined || after === undefined || after.atMs <= before.atMs) return {};
  const seconds = (after.atMs - before.atMs) / 1_000;
  const prefill = (after.counters.promptTokens - before.counters.promptTokens) / seconds;
  const decode = (after.counters.outputTokens - before.counters.outputTokens) / seconds;
  return {
    ...(prefill > 0 ? { prefillTokensPerSecond: prefill } : {}),
    ...(decode > 0 ? { decodeTokensPerSecond: decode } : {}),
  };
}
