/** Tokens of a text; undefined when the counter does not count this one. */
export type CountTokens = (text: string) => number | undefined;

/** For a text that no tokenizer counts: the usual ratio of English prose. */
const CHARACTERS_PER_TOKEN = 4;
/** Small enough for an exact tokenizer that counts 8 KB at most, so that what is kept and what is counted at once are bounded. */
const PIECE_CHARACTERS = 2_048;

export function charactersCounted(text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN);
}

/**
 * Tokens of the text that a call has generated, counted as it comes in pieces. Keeps one piece, however long the answer. A cut
 * between pieces moves the count by a token or so.
 */
export class GeneratedText {
  private pending = '';
  private counted = 0;

  constructor(private readonly countTokens: CountTokens) {}

  add(text: unknown): void {
    if (typeof text !== 'string' || text === '') return;
    let from = 0;
    while (this.pending.length + text.length - from >= PIECE_CHARACTERS) {
      const end = wholeCharacter(text, from + PIECE_CHARACTERS - this.pending.length);
      this.counted += this.tokensOf(this.pending + text.slice(from, end));
      this.pending = '';
      from = end;
    }
    this.pending += from === 0 ? text : text.slice(from);
  }

  /** The backend has counted everything so far. */
  clear(): void {
    this.pending = '';
    this.counted = 0;
  }

  get tokens(): number {
    return this.counted + (this.pending === '' ? 0 : this.tokensOf(this.pending));
  }

  private tokensOf(text: string): number {
    return this.countTokens(text) ?? charactersCounted(text);
  }
}

/** Where to cut so that no pair of surrogates is split. */
function wholeCharacter(text: string, end: number): number {
  const unit = text.charCodeAt(end - 1);
  return unit >= 0xd800 && unit < 0xdc00 ? end + 1 : end;
}
