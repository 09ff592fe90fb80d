/**
 * The simulator's own tokenizer, so that nobody has to trust a library to check the invoice by hand:
 *
 *   a text is split at ASCII whitespace; a word of L code points is ceil(L / 8) tokens.
 *
 * A word of L code points has at least L bytes in UTF-8, so a text never has more tokens than bytes.
 */

export const TOKENS_PER_MESSAGE = 4;
export const TOKENS_PER_CONVERSATION = 3;
const LOG2_CODE_POINTS_PER_TOKEN = 3;

/** Whole number of tokens in `text`; one pass, no allocation (prompts of many megabytes are normal here). */
export function countTokens(text: string): number {
  let tokens = 0;
  let codePoints = 0;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (isSpace(unit)) {
      tokens += tokensOfWord(codePoints);
      codePoints = 0;
    } else if (!endsSurrogatePair(text, index, unit)) {
      codePoints++;
    }
  }
  return tokens + tokensOfWord(codePoints);
}

/** Tokens of one word of `codePoints` code points: ceil(codePoints / 8), and 0 for no word. */
export function tokensOfWord(codePoints: number): number {
  return (codePoints + 7) >> LOG2_CODE_POINTS_PER_TOKEN;
}

/** Space, tab, line feed, vertical tab, form feed, carriage return. */
export function isSpace(unit: number): boolean {
  return unit === 32 || (unit >= 9 && unit <= 13);
}

/** True at the second half of an astral character, which is one code point in two UTF-16 units. */
export function endsSurrogatePair(text: string, index: number, unit: number): boolean {
  if (unit < 0xdc00 || unit > 0xdfff || index === 0) return false;
  const before = text.charCodeAt(index - 1);
  return before >= 0xd800 && before <= 0xdbff;
}
