/** Ranks of byte strings; a key has one character (0..255) for each byte. */
export type Ranks = Pick<ReadonlyMap<string, number>, 'get' | 'has'>;

/** A vocabulary as gpt-tokenizer ships it: the index is the rank; a text, or bytes where they are no text; holes are unused. */
export type Vocabulary = readonly (string | readonly number[] | undefined)[];

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text as a string with one character a byte. Lone surrogates become U+FFFD, as on the wire. */
export function byteString(text: string): string {
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) > 0x7f) return String.fromCharCode(...encoder.encode(text));
  return text;
}

export function ranksOf(vocabulary: Vocabulary): ReadonlyMap<string, number> {
  const ranks = new Map<string, number>();
  vocabulary.forEach((entry, rank) => {
    if (entry !== undefined)
      ranks.set(typeof entry === 'string' ? byteString(entry) : String.fromCharCode(...entry), rank);
  });
  return ranks;
}

/** The most bytes of one piece: a place in it takes 13 bits of a heap's key. */
export const PIECE_LIMIT_BYTES = 8_192;
/** Ranks are below this: with the place, a key fits 31 bits. */
const RANK_LIMIT = 2 ** 18;
const NO_PAIR = -1;

/** Counts tokens of single pieces; holds the scratch memory for it. */
export interface PieceCounter {
  /** Tokens of at most PIECE_LIMIT_BYTES bytes. */
  count(bytes: string): number;
}

/**
 * The number of tokens that byte-pair encoding makes of a piece: the adjacent pair of the lowest rank (the leftmost of equal
 * ones) is merged until no pair is in the vocabulary. Of n bytes it looks up at most 2n longer pairs, and takes them from a heap:
 * O(n log n), where the textbook's search for the lowest pair is O(n^2) and 100 KB of one letter block for seconds.
 */
export function pieceCounter(vocabulary: ReadonlyMap<string, number>, ranks: Ranks = vocabulary): PieceCounter {
  const longestTokenBytes = longestOf(vocabulary);
  const ofTwoBytes = new Int32Array(2 ** 16).fill(NO_PAIR);
  for (const [bytes, rank] of vocabulary)
    if (bytes.length === 2) ofTwoBytes[(bytes.charCodeAt(0) << 8) | bytes.charCodeAt(1)] = rank;
  /** Where the part after the one that begins here begins, and the one before; parts are named by where they begin. */
  const next = new Int32Array(PIECE_LIMIT_BYTES + 1);
  const previous = new Int32Array(PIECE_LIMIT_BYTES + 1);
  /** The rank of the part that begins here joined with the next, by which stale entries of the heap are known. */
  const pairRank = new Int32Array(PIECE_LIMIT_BYTES + 1);
  const heap = minHeap(3 * PIECE_LIMIT_BYTES);

  return {
    count(bytes) {
      const { length } = bytes;
      const consider = (at: number): void => {
        const second = next[at] as number;
        const end = second < length ? (next[second] as number) : length + longestTokenBytes + 1;
        const rank = end - at <= longestTokenBytes ? (ranks.get(bytes.slice(at, end)) ?? NO_PAIR) : NO_PAIR;
        pairRank[at] = rank;
        if (rank !== NO_PAIR) heap.push(rank * PIECE_LIMIT_BYTES + at);
      };
      heap.clear();
      for (let i = 0; i < length; i++) {
        next[i] = i + 1;
        previous[i] = i - 1;
      }
      for (let i = 0; i + 1 < length; i++) {
        const rank = ofTwoBytes[(bytes.charCodeAt(i) << 8) | bytes.charCodeAt(i + 1)] as number;
        pairRank[i] = rank;
        if (rank !== NO_PAIR) heap.push(rank * PIECE_LIMIT_BYTES + i);
      }
      pairRank[length - 1] = NO_PAIR;
      let parts = length;
      while (heap.size() > 0) {
        const key = heap.pop();
        const at = key % PIECE_LIMIT_BYTES;
        if (pairRank[at] !== (key - at) / PIECE_LIMIT_BYTES) continue;
        const merged = next[at] as number;
        const after = next[merged] as number;
        pairRank[merged] = NO_PAIR;
        next[at] = after;
        if (after < length) previous[after] = at;
        parts--;
        consider(at);
        if (at > 0) consider(previous[at] as number);
      }
      return parts;
    },
  };
}

/** A binary heap of 31-bit integers. */
function minHeap(capacity: number): { clear(): void; size(): number; push(key: number): void; pop(): number } {
  const keys = new Int32Array(capacity);
  let size = 0;
  return {
    clear: () => void (size = 0),
    size: () => size,
    push(key) {
      let hole = size++;
      while (hole > 0) {
        const parent = (hole - 1) >> 1;
        if ((keys[parent] as number) <= key) break;
        keys[hole] = keys[parent] as number;
        hole = parent;
      }
      keys[hole] = key;
    },
    pop() {
      const least = keys[0] as number;
      const last = keys[--size] as number;
      let hole = 0;
      for (let child = 1; child < size; child = 2 * hole + 1) {
        if (child + 1 < size && (keys[child + 1] as number) < (keys[child] as number)) child++;
        if ((keys[child] as number) >= last) break;
        keys[hole] = keys[child] as number;
        hole = child;
      }
      keys[hole] = last;
      return least;
    },
  };
}

/** The length of the longest entry, and a check that ranks fit a key. */
function longestOf(ranks: ReadonlyMap<string, number>): number {
  let longest = 0;
  for (const [bytes, rank] of ranks) {
    if (rank >= RANK_LIMIT) throw new RangeError(`a rank of ${rank} does not fit: at most ${RANK_LIMIT - 1}`);
    longest = Math.max(longest, bytes.length);
  }
  return longest;
}
