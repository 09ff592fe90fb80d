import type { BackendConfig, Usage } from '@meritorder/contracts';

/** What was booked for a request, and of which backend. */
export interface BookedUsage {
  usage: Usage;
  /** Null: of none that is on record. */
  backend: string | null;
}

/**
 * What an answer of a backend would use: of a booked request what is booked, with its cache reads and writes, searches and other
 * units, for another backend is taken to find as much in its cache and to call as many tools. What the provider said that it
 * charged holds for the backend that said it, as long as the answer is as long.
 */
export function usageOfBooked(
  { usage, backend }: BookedUsage,
  { id, statedCharge }: Pick<BackendConfig, 'id' | 'statedCharge'>,
  outputTokens: number,
): Usage {
  const { statedPicos, reasoningTokens, ...counts } = usage;
  const isAsStated = statedCharge === true && id === backend && outputTokens === usage.outputTokens;
  return {
    ...counts,
    outputTokens,
    ...(reasoningTokens === undefined ? {} : { reasoningTokens: Math.min(reasoningTokens, outputTokens) }),
    ...(isAsStated && statedPicos !== undefined ? { statedPicos } : {}),
  };
}

/** Of a request of which no usage is known: its input as far as the cache is expected to have it, and nothing beside. */
export function usageOfTokens(inputTokens: number, cacheReadTokensExpected: number, outputTokens: number): Usage {
  const cacheReadTokens = Math.min(inputTokens, Math.round(cacheReadTokensExpected));
  return {
    inputTokens: inputTokens - cacheReadTokens,
    cacheReadTokens,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    outputTokens,
    requests: 1,
  };
}
