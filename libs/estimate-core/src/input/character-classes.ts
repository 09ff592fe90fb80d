import { tokenEndShare } from './letter-pairs.js';

/** Classes of UTF-16 units: 0..25 a-z, 26..51 A-Z, then these; printable ASCII signs have one class each from PUNCTUATION. */
const DIGIT = 52;
const SPACE = 53;
const LINE_END = 54;
const TAB = 55;
const PUNCTUATION = 56;
const CONTROL = 88;
const FIRST_SCRIPT = 89;

/** Tokens that one unit of a script stands for: in ordinary text, and at most (rare characters of the script, older vocabularies). */
interface Script {
  readonly from: number;
  readonly below: number;
  readonly expected: number;
  readonly most: number;
}

/**
 * Scripts by UTF-16 unit, in order; a later row overrides an earlier one. `expected` is the mean of o200k_base and cl100k_base
 * on ordinary sentences where the script has them, `most` what the characters of the block need with vocabularies that know few
 * of them (r50k_base): their UTF-8 bytes, with a vocabulary nobody has seen.
 */
const SCRIPTS: readonly Script[] = [
  { from: 0x0080, below: 0xffff + 1, expected: 2.9, most: 3 },
  { from: 0x0080, below: 0x00c0, expected: 1.2, most: 2 },
  { from: 0x00c0, below: 0x0250, expected: 0.7, most: 2 },
  { from: 0x0250, below: 0x0370, expected: 1.8, most: 2 },
  { from: 0x0370, below: 0x0400, expected: 0.65, most: 2 },
  { from: 0x0400, below: 0x0530, expected: 0.4, most: 2 },
  { from: 0x0530, below: 0x0590, expected: 1.2, most: 2 },
  { from: 0x0590, below: 0x0600, expected: 0.75, most: 2 },
  { from: 0x0600, below: 0x0700, expected: 0.58, most: 2 },
  { from: 0x0700, below: 0x0900, expected: 2, most: 3 },
  { from: 0x0900, below: 0x0980, expected: 0.7, most: 3 },
  { from: 0x0980, below: 0x0e00, expected: 1, most: 3 },
  { from: 0x0e00, below: 0x0e80, expected: 0.8, most: 3 },
  { from: 0x0e80, below: 0x1100, expected: 1.4, most: 3 },
  { from: 0x1200, below: 0x1400, expected: 2.2, most: 3 },
  { from: 0x1e00, below: 0x1f00, expected: 1, most: 3 },
  { from: 0x2000, below: 0x2070, expected: 1, most: 3 },
  { from: 0x2070, below: 0x2c00, expected: 1.8, most: 3 },
  { from: 0x3000, below: 0x3040, expected: 0.9, most: 3 },
  { from: 0x3040, below: 0x3100, expected: 0.85, most: 3 },
  { from: 0x4e00, below: 0xa000, expected: 1.05, most: 3 },
  { from: 0xac00, below: 0xd7a4, expected: 0.95, most: 3 },
  // Halves of a pair: together up to four bytes, and three each when alone (replaced by U+FFFD, which is one token or three bytes).
  { from: 0xd800, below: 0xdc00, expected: 1.9, most: 2 },
  { from: 0xd83c, below: 0xd83f, expected: 1.2, most: 2 },
  { from: 0xdc00, below: 0xe000, expected: 1.5, most: 2 },
  { from: 0xff00, below: 0xfff0, expected: 0.9, most: 3 },
];

export const CLASS_BITS = 7;

/** The class of every UTF-16 unit. */
export const UNIT_CLASS: Uint8Array = classTable();

function classTable(): Uint8Array {
  const table = new Uint8Array(0x1_0000).fill(CONTROL, 0, 0x80);
  for (let i = 0; i < 26; i++) {
    table[97 + i] = i;
    table[65 + i] = 26 + i;
  }
  table.fill(DIGIT, 48, 58);
  table[32] = SPACE;
  table[10] = LINE_END;
  table[13] = LINE_END;
  table[9] = TAB;
  let sign = PUNCTUATION;
  for (let unit = 33; unit < 127; unit++) if (table[unit] === CONTROL) table[unit] = sign++;
  SCRIPTS.forEach((script, i) => table.fill(FIRST_SCRIPT + i, script.from, script.below));
  return table;
}

type Kind = 'lower' | 'upper' | 'digit' | 'space' | 'line-end' | 'tab' | 'sign' | 'control' | 'script';

function kindOf(unitClass: number): Kind {
  if (unitClass < 26) return 'lower';
  if (unitClass < DIGIT) return 'upper';
  if (unitClass < PUNCTUATION) return (['digit', 'space', 'line-end', 'tab'] as const)[unitClass - DIGIT] ?? 'digit';
  return unitClass < CONTROL ? 'sign' : unitClass === CONTROL ? 'control' : 'script';
}

/** Fixed point of the two weights in one table entry: 1/32 token, expected in the low 16 bits, the most in the high 16. */
export const WEIGHT_UNIT = 32;

/** The weights of a unit after another: `TRANSITIONS[(class before << CLASS_BITS) | class]`. */
export const TRANSITIONS: Int32Array = transitionTable();
/** A text begins as after a line end. */
export const START_CLASS = LINE_END;

function transitionTable(): Int32Array {
  const size = 1 << CLASS_BITS;
  const table = new Int32Array(size * size);
  for (let before = 0; before < size; before++) {
    for (let unit = 0; unit < size; unit++) {
      const [expected, most] = weights(before, unit);
      table[(before << CLASS_BITS) | unit] =
        Math.round(expected * WEIGHT_UNIT) | (Math.ceil(Math.max(expected, most) * WEIGHT_UNIT) << 16);
    }
  }
  return table;
}

/**
 * [expected, most] tokens that a unit begins, given the one before it. Shares of ASCII measured as in letter-pairs.ts: a space
 * begins the token of the word after it (1.00), a sign begins a token after a letter (1.00) and takes the word after it half of
 * the time (.53), a capital after a small letter begins one (.94), digits go by three.
 */
function weights(before: number, unit: number): readonly [number, number] {
  const kind = kindOf(unit);
  const previous = kindOf(before);
  if (kind === 'script') {
    const script = SCRIPTS[unit - FIRST_SCRIPT];
    return script ? [script.expected, script.most] : [3, 3];
  }
  if (kind === 'lower' || kind === 'upper') return letterWeights(before, previous, unit, kind);
  switch (kind) {
    case 'digit':
      return previous === 'digit' ? [0.33, 0.67] : [1, 1];
    case 'space':
    case 'line-end':
    case 'tab':
      // Runs are one token in vocabularies that know code, a token a unit in those that do not, of carriage returns in most.
      if (before === unit) return [0.05, 1];
      return previous === 'sign' && kind === 'line-end' ? [0.1, 1] : [isWhite(previous) ? 0.5 : 1, 1];
    case 'sign':
      if (previous === 'space') return [0.05, 0.6];
      if (previous === 'sign') return before === unit ? [0.15, 0.6] : [0.4, 0.9];
      return [1, 1];
    default:
      return [1, 1];
  }
}

function letterWeights(
  before: number,
  previous: Kind,
  unit: number,
  kind: 'lower' | 'upper',
): readonly [number, number] {
  switch (previous) {
    case 'space':
      return [0.02, 0.25];
    case 'sign':
      return [kind === 'upper' ? 0.74 : 0.53, 1];
    case 'script':
      return [0.4, 1];
    case 'lower':
    case 'upper': {
      if (previous === 'lower' && kind === 'upper') return [0.94, 1];
      const share = tokenEndShare(before % 26, unit % 26);
      const expected = kind === 'upper' ? Math.max(share, 0.2) : share;
      // Changing case all along is in no vocabulary; a word with a capital is in all.
      if (previous === 'upper' && kind === 'lower') return [expected, 1];
      return [expected, Math.min(1, 0.3 + 2 * expected)];
    }
    default:
      return [1, 1];
  }
}

function isWhite(kind: Kind): boolean {
  return kind === 'space' || kind === 'line-end' || kind === 'tab';
}
