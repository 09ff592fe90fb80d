import { endsSurrogatePair, isSpace, tokensOfWord } from '../text/tokens.js';

export const WORDS_PER_BLOCK = 64;

/** A leading block of a prompt: it stands for everything up to its end. */
export interface Block {
  /** Of the words of this block and of all blocks before it. */
  key: number;
  /** Tokens of the texts up to its end, without template tokens. */
  tokensUpToEnd: number;
}

/** Splits a prompt into whole blocks of 64 words; what is left at the end is in no block. */
export function leadingBlocks(texts: string[]): Block[] {
  const blocks: Block[] = [];
  let low = 0x811c9dc5;
  let high = 0x9747b28c;
  let words = 0;
  let tokens = 0;
  for (const text of texts) {
    let codePoints = 0;
    for (let index = 0; index <= text.length; index++) {
      const unit = index < text.length ? text.charCodeAt(index) : 32;
      if (!isSpace(unit)) {
        low = Math.imul(low ^ unit, 0x01000193);
        high = Math.imul(high ^ unit, 0x85ebca6b) + 0x27d4eb2f;
        if (!endsSurrogatePair(text, index, unit)) codePoints++;
        continue;
      }
      if (codePoints === 0) continue;
      low = Math.imul(low ^ 32, 0x01000193);
      high = Math.imul(high ^ 32, 0x85ebca6b) ^ (high >>> 15);
      tokens += tokensOfWord(codePoints);
      codePoints = 0;
      if (++words % WORDS_PER_BLOCK === 0) blocks.push({ key: fiftyThreeBits(low, high), tokensUpToEnd: tokens });
    }
    // A text ends here: "a b" in one message is another prompt than "a" and "b" in two.
    low = Math.imul(low ^ 1, 0x01000193);
    high = Math.imul(high ^ 1, 0x85ebca6b);
  }
  return blocks;
}

function fiftyThreeBits(low: number, high: number): number {
  return (low >>> 0) * 2 ** 21 + (high >>> 11);
}

/** Prompt prefixes seen lately by one model: least recently used first, each kept for `lifetimeMs` after its last use. */
export class PrefixCache {
  readonly #expiresAtMs = new Map<number, number>();
  readonly #maxBlocks: number;
  readonly #lifetimeMs: number;

  constructor(maxBlocks: number, lifetimeMs: number) {
    this.#maxBlocks = maxBlocks;
    this.#lifetimeMs = lifetimeMs;
  }

  /** How many of the leading blocks are in the cache without a gap. */
  leadingHits(blocks: Block[], nowMs: number): number {
    const miss = blocks.findIndex(({ key }) => (this.#expiresAtMs.get(key) ?? -Infinity) <= nowMs);
    return miss === -1 ? blocks.length : miss;
  }

  /** Remembers the blocks, or refreshes them. */
  store(blocks: Block[], nowMs: number): void {
    for (const { key } of blocks) {
      this.#expiresAtMs.delete(key);
      this.#expiresAtMs.set(key, nowMs + this.#lifetimeMs);
    }
    for (const key of this.#expiresAtMs.keys()) {
      if (this.#expiresAtMs.size <= this.#maxBlocks) return;
      this.#expiresAtMs.delete(key);
    }
  }
}
