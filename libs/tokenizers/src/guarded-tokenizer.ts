import { byteString, PIECE_LIMIT_BYTES, pieceCounter, type Ranks } from './byte-pairs.js';
import type { TokenizerName } from './models.js';

/** The most UTF-8 bytes that are counted in one call: about 2,000 tokens of prose. */
export const EXACT_LIMIT_BYTES = 8_192;

/** Counts tokens in bounded time, whatever the text. */
export interface GuardedTokenizer {
  readonly name: TokenizerName;
  /** UTF-8 bytes; above it `countTokens` answers undefined. */
  readonly limitBytes: number;
  /**
   * The tokens of a text, exactly. Names of special tokens (`<|endoftext|>`) count as the ordinary text that a caller's content
   * is. Undefined when the text is longer than `limitBytes`; nothing was counted then.
   */
  countTokens(text: string): number | undefined;
  /**
   * The same for any length, for counting what was answered where nobody waits: linear in time, 1 ms of blocked event loop for
   * 8 KB of prose, for 3 KB at worst. Runs of more than 8 KB without a break are cut; README.md has what that moves.
   */
  countTokensOffline(text: string): number;
}

export function guardedTokenizer(
  name: TokenizerName,
  vocabulary: ReadonlyMap<string, number>,
  split: RegExp,
  ranks: Ranks = vocabulary,
): GuardedTokenizer {
  const pieces = pieceCounter(vocabulary, ranks);
  const pattern = new RegExp(split.source, split.flags);

  const countPiece = (bytes: string): number => (ranks.has(bytes) ? 1 : pieces.count(bytes));
  const countRun = (run: string): number => {
    if (run.length * 3 <= PIECE_LIMIT_BYTES) return countPiece(byteString(run));
    const bytes = byteString(run);
    let tokens = 0;
    for (let from = 0; from < bytes.length; from += PIECE_LIMIT_BYTES)
      tokens += countPiece(bytes.slice(from, from + PIECE_LIMIT_BYTES));
    return tokens;
  };
  const count = (text: string): number => {
    let tokens = 0;
    for (const run of text.match(pattern) ?? []) tokens += countRun(run);
    return tokens;
  };
  return {
    name,
    limitBytes: EXACT_LIMIT_BYTES,
    countTokens: (text) => (isLongerThan(text, EXACT_LIMIT_BYTES) ? undefined : count(text)),
    countTokensOffline: (text) => {
      let tokens = 0;
      for (let from = 0; from < text.length;) {
        const end = sliceEnd(text, from);
        tokens += count(text.slice(from, end));
        from = end;
      }
      return tokens;
    },
  };
}

/** A regular expression may go over a run again and again; slices bound that too, and the scratch memory of a run. */
const OFFLINE_SLICE_UNITS = 16_384;
/** A slice ends before a letter's white space found within so many units of its end, so that it cuts no word. */
const ALIGN_UNITS = 1_024;

/** Whether the text has more UTF-8 bytes than the limit; looks at no more than `limit` characters. */
function isLongerThan(text: string, limitBytes: number): boolean {
  if (text.length > limitBytes) return true;
  if (text.length * 3 <= limitBytes) return false;
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
    if (unit >= 0xd800 && unit < 0xdc00 && isLowSurrogate(text.charCodeAt(i + 1))) {
      bytes++;
      i++;
    }
  }
  return bytes > limitBytes;
}

function sliceEnd(text: string, from: number): number {
  const end = from + OFFLINE_SLICE_UNITS;
  if (end >= text.length) return text.length;
  for (let at = end; at > end - ALIGN_UNITS; at--)
    if (text.charCodeAt(at) === SPACE && isLetter(text.charCodeAt(at + 1)) && text.charCodeAt(at - 1) > SPACE)
      return at;
  return isLowSurrogate(text.charCodeAt(end)) ? end - 1 : end;
}

const SPACE = 32;

function isLetter(unit: number): boolean {
  return (unit >= 97 && unit <= 122) || (unit >= 65 && unit <= 90);
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}
