import { classBlocks, type ClassBlocks } from './class-blocks.js';
import { calibrate, type ExactTokenizer } from './density-bands.js';
import type { InputParts } from './input-parts.js';

/** Where the tokens of a text come from: counted; classes calibrated by counted slices; classes alone. */
export type TextBasis = 'exact' | 'sampled' | 'classes';

/** Tokens of the texts of a request, without templates and images. */
export interface TextTokens {
  readonly basis: TextBasis;
  /** Of the messages, and of the tools. */
  readonly text: number;
  readonly tools: number;
  /** The most of both together that the basis allows. */
  readonly upper: number;
  /** UTF-16 units looked at by the one pass, and given to the exact tokenizer. */
  readonly visitedUnits: number;
  readonly countedUnits: number;
}

/** A request as it was read once, for any number of backends: no text is passed over twice for one of its tokenizers. */
export interface InputReading {
  readonly parts: InputParts;
  /** UTF-8 bytes of all texts. */
  readonly bytes: number;
  /** With the tokenizer, or by the classes of the characters where there is none. */
  tokens(tokenizer: ExactTokenizer | undefined): TextTokens;
  /** What the classes say of every block of the texts. */
  blocks(): ClassBlocks;
}

export function readInput(parts: InputParts): InputReading {
  const texts = [...parts.texts, ...parts.toolTexts];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text, 'utf8'), 0);
  const known = new Map<ExactTokenizer | undefined, TextTokens>();
  let blocks: ClassBlocks | undefined;
  const reading: InputReading = {
    parts,
    bytes,
    blocks: () => (blocks ??= classBlocks(texts)),
    tokens(tokenizer) {
      let tokens = known.get(tokenizer);
      if (tokens === undefined) {
        tokens = counted(reading, tokenizer) ?? byClasses(reading, texts, tokenizer);
        known.set(tokenizer, tokens);
      }
      return tokens;
    },
  };
  return reading;
}

function counted({ parts, bytes }: InputReading, tokenizer: ExactTokenizer | undefined): TextTokens | undefined {
  if (tokenizer === undefined || bytes > tokenizer.limitBytes) return undefined;
  let countedUnits = 0;
  const count = (texts: readonly string[]): number | undefined => {
    let tokens = 0;
    for (const text of texts) {
      const more = tokenizer.countTokens(text);
      if (more === undefined) return undefined;
      tokens += more;
      countedUnits += text.length;
    }
    return tokens;
  };
  const text = count(parts.texts);
  const tools = count(parts.toolTexts);
  if (text === undefined || tools === undefined) return undefined;
  return { basis: 'exact', text, tools, upper: text + tools, visitedUnits: 0, countedUnits };
}

function byClasses(reading: InputReading, texts: readonly string[], tokenizer: ExactTokenizer | undefined): TextTokens {
  const blocks = reading.blocks();
  let text = 0;
  let tools = 0;
  let upper = 0;
  for (let i = 0; i < blocks.count; i++) {
    if ((blocks.text[i] as number) < reading.parts.texts.length) text += blocks.expected[i] as number;
    else tools += blocks.expected[i] as number;
    upper += blocks.most[i] as number;
  }
  const { visitedUnits } = blocks;
  if (tokenizer === undefined) return { basis: 'classes', text, tools, upper, visitedUnits, countedUnits: 0 };
  const calibrated = calibrate(texts, blocks, tokenizer);
  const ratio = text + tools > 0 ? calibrated.expected / (text + tools) : 1;
  return { ...calibrated, basis: 'sampled', text: text * ratio, tools: tools * ratio, visitedUnits };
}
