/** Counts of a dialect that has reasoning and cache inside its input and output counts, or says it has. */
export interface StatedCounts {
  input: number;
  output: number;
  reasoning: number;
  cacheRead: number;
  cacheWrite: number;
  total: number | undefined;
}

/** Parts that are billed beside the two main counts, as the arithmetic shows. */
export interface Outside {
  readonly reasoning: boolean;
  readonly cache: boolean;
  /** Tokens that only the total has. */
  readonly unlisted: number;
}

const INSIDE: Outside = { reasoning: false, cache: false, unlisted: 0 };

/**
 * Which parts lie outside `input` and `output`. The total decides where it can, because the same wire is spoken by providers
 * that differ: if input and output alone miss it and together with the reasoning they make it, reasoning lies outside (xAI).
 * Tokens that the total has and nothing else names (thoughts on Google's OpenAI wire) are somebody's output.
 * @param withoutTotal whether reasoning lies outside where the total does not decide.
 */
export function whatLiesOutside(counts: StatedCounts, withoutTotal: boolean): Outside {
  const { input, output, reasoning, cacheRead, cacheWrite, total } = counts;
  if (total === undefined) return { ...INSIDE, reasoning: withoutTotal || reasoning > output };
  const gap = total - input - output;
  if (gap <= 0) return INSIDE;
  const cache = cacheRead + cacheWrite;
  if (gap === reasoning) return { ...INSIDE, reasoning: true };
  if (gap === cache) return { ...INSIDE, cache: true };
  if (gap === reasoning + cache) return { ...INSIDE, reasoning: true, cache: true };
  return { ...INSIDE, unlisted: gap };
}
