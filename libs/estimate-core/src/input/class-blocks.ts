import { CLASS_BITS, START_CLASS, TRANSITIONS, UNIT_CLASS, WEIGHT_UNIT } from './character-classes.js';

/** Units of a block: small enough that two 16-bit sums of at most 4 tokens a unit fit one 32-bit integer. */
export const BLOCK_UNITS = 256;
/**
 * Blocks that are looked at, at most: all of a text of 262,144 units. Of longer ones every n-th, so that no text blocks the event
 * loop for longer; what is hidden in a text is then still seen where it is as long as a few blocks, and shorter it weighs nothing.
 */
const BLOCKS_LIMIT = 1_024;

/** The texts of a request in blocks, with what the classes of their characters say of the tokens in each. */
export interface ClassBlocks {
  readonly count: number;
  /** Which text, and where in it, each block begins. */
  readonly text: Int32Array;
  readonly from: Int32Array;
  /** UTF-16 units that the block stands for: its own, and those of its neighbours that were not looked at. */
  readonly units: Float64Array;
  /** Tokens of these units. */
  readonly expected: Float64Array;
  readonly most: Float64Array;
  /** UTF-16 units looked at, each once. */
  readonly visitedUnits: number;
}

export function classBlocks(texts: readonly string[]): ClassBlocks {
  const all = texts.reduce((sum, text) => sum + Math.ceil(text.length / BLOCK_UNITS), 0);
  const ofEach = Math.max(1, Math.ceil(all / BLOCKS_LIMIT));
  const count = Math.ceil(all / ofEach);
  const blocks = {
    count,
    text: new Int32Array(count),
    from: new Int32Array(count),
    units: new Float64Array(count),
    expected: new Float64Array(count),
    most: new Float64Array(count),
  };
  const groups = groupsOf(texts, ofEach);
  const sums = sumsOfGroups(texts, groups);
  let visitedUnits = 0;
  for (let i = 0; i < groups.length; i++) {
    const { text, from, length, units } = groups[i] as Group;
    const standsFor = units / length;
    blocks.text[i] = text;
    blocks.from[i] = from;
    blocks.units[i] = units;
    blocks.expected[i] = (((sums[i] as number) & 0xffff) / WEIGHT_UNIT) * standsFor;
    blocks.most[i] = (((sums[i] as number) >>> 16) / WEIGHT_UNIT) * standsFor;
    visitedUnits += length;
  }
  return { ...blocks, visitedUnits };
}

/** A loop of its own: it runs at half the speed where it is a part of another. */
function sumsOfGroups(texts: readonly string[], groups: readonly Group[]): Int32Array {
  const sums = new Int32Array(groups.length);
  for (let i = 0; i < groups.length; i++) {
    const { text, from, length } = groups[i] as Group;
    const content = texts[text] as string;
    const before = from === 0 ? START_CLASS : (UNIT_CLASS[content.charCodeAt(from - 1)] as number);
    sums[i] = sumsOf(content.slice(from, from + length), before);
  }
  return sums;
}

interface Group {
  /** The block of the group that is looked at. */
  readonly text: number;
  readonly from: number;
  readonly length: number;
  /** Units of all its blocks. */
  readonly units: number;
}

/**
 * Groups of consecutive blocks, and one block of each: a full one where there is one, at a place in the group that varies, so
 * that no regular text keeps the same part of itself out of sight.
 */
function groupsOf(texts: readonly string[], ofEach: number): Group[] {
  const groups: Group[] = [];
  let seen = 0;
  let units = 0;
  let best = { text: 0, from: 0, length: 0 };
  let turn = 0;
  for (let text = 0; text < texts.length; text++) {
    const { length } = texts[text] as string;
    for (let from = 0; from < length; from += BLOCK_UNITS) {
      const own = Math.min(BLOCK_UNITS, length - from);
      if (own > best.length || (own === best.length && seen <= turn)) best = { text, from, length: own };
      units += own;
      seen++;
      if (seen < ofEach) continue;
      groups.push({ ...best, units });
      // Steps of a generator that visits all places of a group in no simple order.
      turn = (turn * 5 + 3) % ofEach;
      seen = 0;
      units = 0;
      best = { text: 0, from: 0, length: 0 };
    }
  }
  if (seen > 0) groups.push({ ...best, units });
  return groups;
}

/** Expected tokens of a slice of at most BLOCK_UNITS units by the classes of its characters. */
export function classTokens(slice: string): number {
  return (sumsOf(slice, START_CLASS) & 0xffff) / WEIGHT_UNIT;
}

/** One block's units, for the time of one call: typed arrays are read three times as fast as `charCodeAt`. */
const SCRATCH = Buffer.alloc(2 * BLOCK_UNITS);
const SCRATCH_UNITS = new Uint16Array(SCRATCH.buffer, SCRATCH.byteOffset, BLOCK_UNITS);

/** The sums of one block, expected in the low 16 bits. */
function sumsOf(slice: string, classBefore: number): number {
  SCRATCH.write(slice, 'utf16le');
  return classSums(SCRATCH_UNITS, slice.length, classBefore);
}

/** The loop reads locals: a module's live binding costs ten times as much. */
function classSums(units: Uint16Array, length: number, classBefore: number): number {
  const classes = UNIT_CLASS;
  const transitions = TRANSITIONS;
  const shift = CLASS_BITS;
  let before = classBefore;
  let sums = 0;
  for (let i = 0; i < length; i++) {
    const unit = classes[units[i] as number] as number;
    sums = (sums + (transitions[(before << shift) | unit] as number)) | 0;
    before = unit;
  }
  return sums;
}
