import { CLASS_BITS, START_CLASS, TRANSITIONS, UNIT_CLASS, WEIGHT_UNIT } from './character-classes.js';

/** Units of a block: small enough that two 16-bit sums of at most 4 tokens a unit fit one 32-bit integer. */
export const BLOCK_UNITS = 256;

/** The texts of a request in blocks, with what the classes of their characters say of the tokens in each. */
export interface ClassBlocks {
  readonly count: number;
  /** Which text, and where in it, each block begins; and its length in UTF-16 units. */
  readonly text: Int32Array;
  readonly from: Int32Array;
  readonly units: Int32Array;
  /** Tokens. */
  readonly expected: Float64Array;
  readonly most: Float64Array;
  /** UTF-16 units looked at: each once, whatever the text. */
  readonly visitedUnits: number;
}

export function classBlocks(texts: readonly string[]): ClassBlocks {
  const count = texts.reduce((sum, text) => sum + Math.ceil(text.length / BLOCK_UNITS), 0);
  const blocks = {
    count,
    text: new Int32Array(count),
    from: new Int32Array(count),
    units: new Int32Array(count),
    expected: new Float64Array(count),
    most: new Float64Array(count),
  };
  const longest = texts.reduce((most, text) => Math.max(most, text.length), 0);
  const scratch = Buffer.alloc(2 * Math.min(longest, CHUNK_UNITS));
  let block = 0;
  let visitedUnits = 0;
  texts.forEach((text, index) => {
    let before: number = START_CLASS;
    for (let chunk = 0; chunk < text.length; chunk += CHUNK_UNITS) {
      const units = unitsOf(text, chunk, Math.min(text.length, chunk + CHUNK_UNITS), scratch);
      for (let from = 0; from < units.length; from += BLOCK_UNITS) {
        const end = Math.min(units.length, from + BLOCK_UNITS);
        const sums = classSums(units, from, end, before);
        before = UNIT_CLASS[units[end - 1] as number] as number;
        blocks.text[block] = index;
        blocks.from[block] = chunk + from;
        blocks.units[block] = end - from;
        blocks.expected[block] = (sums & 0xffff) / WEIGHT_UNIT;
        blocks.most[block] = (sums >>> 16) / WEIGHT_UNIT;
        visitedUnits += end - from;
        block++;
      }
    }
  });
  return { ...blocks, visitedUnits };
}

/** Expected tokens of a slice of at most BLOCK_UNITS units by the classes of its characters. */
export function classTokens(slice: string): number {
  const units = unitsOf(slice, 0, slice.length, Buffer.alloc(2 * slice.length));
  return (classSums(units, 0, units.length, START_CLASS) & 0xffff) / WEIGHT_UNIT;
}

/** UTF-16 units copied at a time; a multiple of BLOCK_UNITS. Typed arrays are read three times as fast as `charCodeAt`. */
const CHUNK_UNITS = 32_768;

function unitsOf(text: string, from: number, end: number, scratch: Buffer): Uint16Array {
  scratch.write(from === 0 && end === text.length ? text : text.slice(from, end), 'utf16le');
  return new Uint16Array(scratch.buffer, scratch.byteOffset, end - from);
}

/** The sums of one block, expected in the low 16 bits. The loop reads locals: a module's live binding costs ten times as much. */
function classSums(units: Uint16Array, from: number, end: number, classBefore: number): number {
  const classes = UNIT_CLASS;
  const transitions = TRANSITIONS;
  const shift = CLASS_BITS;
  let before = classBefore;
  let sums = 0;
  for (let i = from; i < end; i++) {
    const unit = classes[units[i] as number] as number;
    sums = (sums + (transitions[(before << shift) | unit] as number)) | 0;
    before = unit;
  }
  return sums;
}
