/** Lengths up to this have a bin each; above it, bins grow. */
const EXACT_TOKENS = 64;
/** Bins that double a length: a bin is 2.2 % wide. */
const BINS_PER_DOUBLING = 32;
const DOUBLINGS = 15;

/** Bins of lengths of 0 to 2,097,152 tokens; longer ones are in the last. */
export const LENGTH_BINS = EXACT_TOKENS + 1 + BINS_PER_DOUBLING * DOUBLINGS;

/** The longest length of each bin, tokens. */
export const LONGEST_OF_BIN: readonly number[] = Array.from({ length: LENGTH_BINS }, (_, bin) =>
  bin <= EXACT_TOKENS ? bin : Math.floor(EXACT_TOKENS * 2 ** ((bin - EXACT_TOKENS) / BINS_PER_DOUBLING)),
);

/** The middle of each bin, tokens: what its lengths are on average, within 1.1 %. */
export const MIDDLE_OF_BIN: readonly number[] = LONGEST_OF_BIN.map((longest, bin) =>
  bin <= EXACT_TOKENS ? bin : ((LONGEST_OF_BIN[bin - 1] as number) + 1 + longest) / 2,
);

/** The bin of a length (an integer of at least 0): the first whose longest length is no less. */
export function binOfLength(tokens: number): number {
  if (tokens <= EXACT_TOKENS) return Math.max(0, tokens);
  let bin = Math.min(LENGTH_BINS - 1, EXACT_TOKENS + Math.floor(BINS_PER_DOUBLING * Math.log2(tokens / EXACT_TOKENS)));
  while (bin < LENGTH_BINS - 1 && (LONGEST_OF_BIN[bin] as number) < tokens) bin++;
  return bin;
}
