import { Random } from './random.js';

/**
 * What the simulator "generates": made-up words of two to four syllables, each at most eight ASCII letters and
 * therefore exactly one token. Texts are slices of one long ring, so that a reply costs a copy and no thinking.
 */

export const RING_WORDS = 4096;
const SYLLABLES = [
  'ba',
  'ce',
  'di',
  'fo',
  'gu',
  'ha',
  'je',
  'ki',
  'lo',
  'mu',
  'na',
  'pe',
  'ri',
  'so',
  'tu',
  'va',
  'we',
];

const ring = buildRing();

function buildRing(): { text: string; starts: Int32Array } {
  const random = new Random(20_26);
  const starts = new Int32Array(RING_WORDS + 1);
  let text = '';
  for (let word = 0; word < RING_WORDS; word++) {
    starts[word] = text.length;
    const syllables = 2 + random.below(3);
    for (let syllable = 0; syllable < syllables; syllable++) text += SYLLABLES[random.below(SYLLABLES.length)]!;
    text += ' ';
  }
  starts[RING_WORDS] = text.length;
  return { text, starts };
}

/** Words `from` (inclusive) to `to` (exclusive) of the endless text, separated by single spaces, without a last one. */
export function words(from: number, to: number): string {
  let text = '';
  for (let word = from; word < to;) {
    const start = word % RING_WORDS;
    const end = Math.min(RING_WORDS, start + (to - word));
    text += ring.text.slice(ring.starts[start], ring.starts[end]);
    word += end - start;
  }
  return text.slice(0, -1);
}
