import { classTokens, type ClassBlocks } from './class-blocks.js';

/** Counts the tokens of a text exactly; undefined when it is too long to be counted inline. */
export interface ExactTokenizer {
  /** UTF-8 bytes. */
  readonly limitBytes: number;
  countTokens(text: string): number | undefined;
}

/**
 * Upper ends of the bands, in expected tokens a UTF-16 unit. Blocks of one band are alike enough to be calibrated together;
 * dense text hidden in sparse text is in another band and is sampled for itself.
 */
const BAND_ENDS = [0.04, 0.12, 0.2, 0.27, 0.36, 0.5, 0.75, 1.1, 1.6, 2.2, Number.POSITIVE_INFINITY] as const;
/** Slices counted exactly over all bands, and the units of one: bounded work whatever the text. */
const SLICE_LIMIT = 20;
const SLICE_UNITS = 128;
/** The same where a unit is about a token or more: a shorter slice says as much, and dense text is slow to count. */
const DENSE_SLICE_UNITS = 64;
const DENSE_TOKENS_PER_UNIT = 0.55;
/** A slice begins within so many units of its block's beginning. */
const PLACES_IN_BLOCK = 101;
/** And then behind white space found within so many units, so that it does not begin within a word. */
const ALIGN_UNITS = 24;
/** Bands with a smaller share of the tokens are not sampled; they count with the most that their classes allow. */
const SMALLEST_SHARE = 0.01;

interface Band {
  expected: number;
  most: number;
  readonly blocks: number[];
}

/** What calibration made of the blocks, in tokens. */
export interface Calibrated {
  readonly expected: number;
  readonly upper: number;
  /** UTF-16 units given to the exact tokenizer. */
  readonly countedUnits: number;
}

/** Calibrates the class estimate by counting a few slices of each band of density. */
export function calibrate(texts: readonly string[], blocks: ClassBlocks, tokenizer: ExactTokenizer): Calibrated {
  const bands = bandsOf(blocks);
  const total = bands.reduce((sum, band) => sum + band.most, 0);
  const sampled = bands.filter((band) => band.most >= total * SMALLEST_SHARE);
  let expected = 0;
  let upper = 0;
  let countedUnits = 0;
  for (const band of bands) {
    const ratios: Ratio[] = [];
    if (sampled.includes(band)) {
      const slices = Math.max(2, Math.round((SLICE_LIMIT - 2 * sampled.length) * (band.most / total)) + 2);
      for (const block of spread(band.blocks, slices)) {
        const slice = sliceOf(texts, blocks, block);
        const exact = tokenizer.countTokens(slice);
        const byClass = classTokens(slice);
        countedUnits += slice.length;
        if (exact !== undefined && byClass > 0) ratios.push({ exact, byClass });
      }
    }
    const { ratio, margin } = ratioOf(ratios, band.most / band.expected);
    expected += band.expected * ratio;
    upper += Math.max(band.expected * ratio, Math.min(band.most, band.expected * margin));
  }
  return { expected, upper: Math.max(expected, upper), countedUnits };
}

/** Tokens of one slice. */
interface Ratio {
  readonly exact: number;
  readonly byClass: number;
}

/**
 * The sampled ratio, and the margin over the class estimate that `upper` takes: one token more in each slice (where a slice
 * cuts a token of 64 equal signs), 10 % above that (40 % with one slice), and twice the distance between the extremes over the
 * square root of their number: wide where few slices differ a lot. And one slice more, that nobody looked at, counts with the
 * most that the classes allow: what is hidden is not seen to differ.
 */
function ratioOf(slices: readonly Ratio[], mostRatio: number): { ratio: number; margin: number } {
  if (slices.length === 0) return { ratio: 1, margin: Number.POSITIVE_INFINITY };
  const exact = slices.reduce((sum, slice) => sum + slice.exact, 0);
  const byClass = slices.reduce((sum, slice) => sum + slice.byClass, 0);
  const ratios = slices.map((slice) => slice.exact / slice.byClass);
  const extent = Math.max(...ratios) - Math.min(...ratios);
  const above = ((exact + slices.length) / byClass) * (slices.length === 1 ? 1.4 : 1.1);
  const unseen = Math.max(0, mostRatio - exact / byClass) / slices.length;
  return { ratio: exact / byClass, margin: above + (2 * extent) / Math.sqrt(slices.length) + unseen };
}

function bandsOf(blocks: ClassBlocks): Band[] {
  const bands = BAND_ENDS.map((): Band => ({ expected: 0, most: 0, blocks: [] }));
  for (let i = 0; i < blocks.count; i++) {
    const expected = blocks.expected[i] as number;
    const density = expected / (blocks.units[i] as number);
    const band = bands[BAND_ENDS.findIndex((end) => density < end)] as Band;
    band.expected += expected;
    band.most += blocks.most[i] as number;
    band.blocks.push(i);
  }
  return bands.filter((band) => band.blocks.length > 0);
}

/** At most `count` of the items, at even distances, the first and last among the unlikely ones. */
function spread(items: readonly number[], count: number): number[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor(((i + 0.5) * items.length) / count)] as number);
}

function sliceOf(texts: readonly string[], blocks: ClassBlocks, block: number): string {
  const text = texts[blocks.text[block] as number] as string;
  // At another place in every block, so that no text repeats itself in step with the slices.
  const start = Math.min(
    (blocks.from[block] as number) + ((block * 37) % PLACES_IN_BLOCK),
    Math.max(0, text.length - SLICE_UNITS),
  );
  let from = start;
  for (let i = start; i < Math.min(start + ALIGN_UNITS, text.length); i++) {
    const unit = text.charCodeAt(i);
    if (unit === 32 || unit === 10) {
      from = i;
      break;
    }
  }
  if (isLowSurrogate(text.charCodeAt(from))) from++;
  const dense = (blocks.expected[block] as number) > DENSE_TOKENS_PER_UNIT * (blocks.units[block] as number);
  let end = Math.min(text.length, from + (dense ? DENSE_SLICE_UNITS : SLICE_UNITS));
  if (end < text.length && isLowSurrogate(text.charCodeAt(end))) end--;
  return text.slice(from, end);
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}
