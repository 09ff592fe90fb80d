import type { Usage } from '@meritorder/contracts';

/**
 * OpenAI's usage block as a disjoint vector. Its `prompt_tokens` contain the cached ones, its `completion_tokens` the
 * reasoning ones, so cached tokens are taken out of the input and reasoning stays inside the output. Blocks of a stream are
 * cumulative: the last one counts, blocks are never added.
 * @returns undefined when there is no usable block: the attempt is then unconfirmed, never free.
 */
export function usageFromOpenAi(block: unknown): Usage | undefined {
  if (block === null || typeof block !== 'object') return undefined;
  const usage = block as Record<string, unknown>;
  const prompt = count(usage['prompt_tokens']);
  const completion =
    count(usage['completion_tokens']) ??
    (prompt !== undefined && usage['completion_tokens'] === undefined ? 0 : undefined);
  if (prompt === undefined || completion === undefined) return undefined;
  const details = usage['prompt_tokens_details'] as Record<string, unknown> | null | undefined;
  const cached = Math.min(prompt, count(details?.['cached_tokens']) ?? 0);
  return {
    inputTokens: prompt - cached,
    cacheReadTokens: cached,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    outputTokens: completion,
    requests: 1,
  };
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
