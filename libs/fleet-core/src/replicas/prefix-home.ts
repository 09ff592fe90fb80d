/** A mix of 32 bits in which every bit of the input moves half of the output's. */
function mixed(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}

/** Of the text as UTF-16 units; equal keys give equal hashes in every process. */
function hashOf(key: string | number): number {
  const text = String(key);
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mixed(h);
}

/** The last key: of one request several models are asked for their homes. */
let hashedKey: string | number = '';
let hashOfKey = hashOf(hashedKey);

/**
 * Who should keep a prefix warm: the replicas, each by a weight that follows from the key and its own name (rendezvous hashing,
 * Thaler and Ravishankar 1998). A replica that goes or comes moves only the keys that were, or become, its own.
 * @param prefix of the prompt, as any text or number that equal prefixes share
 * @returns indexes into `names`, the owner first
 */
export function homesOf(prefix: string | number, names: readonly string[]): number[] {
  if (prefix !== hashedKey) {
    hashOfKey = hashOf(prefix);
    hashedKey = prefix;
  }
  const weights = names.map((name) => mixed(hashOfKey ^ Math.imul(hashOf(name), 0x9e3779b1)));
  return names.map((_, i) => i).sort((a, b) => weights[b]! - weights[a]! || (names[a]! < names[b]! ? -1 : 1));
}
