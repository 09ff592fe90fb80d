import { SCALARS, WORD_BUCKETS, type PromptFeatures } from './prompt-features.js';

const SCALAR_BYTES = SCALARS * 4;

/** Features as base64, for records: no word can be read from it. About 3 characters a word, below 2,200. */
export function featuresText({ buckets, scalars }: PromptFeatures): string {
  const bytes = new Uint8Array(SCALAR_BYTES + 2 * buckets.length);
  const view = new DataView(bytes.buffer);
  scalars.forEach((scalar, i) => view.setFloat32(4 * i, scalar, true));
  buckets.forEach((bucket, i) => view.setUint16(SCALAR_BYTES + 2 * i, bucket, true));
  return btoa(String.fromCharCode(...bytes));
}

/** The same back, scalars to single precision; undefined: it is none. */
export function featuresOfText(text: string): PromptFeatures | undefined {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return undefined;
  }
  if (binary.length < SCALAR_BYTES || (binary.length - SCALAR_BYTES) % 2 !== 0) return undefined;
  const view = new DataView(Uint8Array.from(binary, (c) => c.charCodeAt(0)).buffer);
  const scalars = Float64Array.from({ length: SCALARS }, (_, i) => view.getFloat32(4 * i, true));
  const count = (binary.length - SCALAR_BYTES) / 2;
  const buckets = Uint16Array.from({ length: count }, (_, i) => view.getUint16(SCALAR_BYTES + 2 * i, true));
  if (!scalars.every(Number.isFinite) || buckets.some((b) => b >= WORD_BUCKETS)) return undefined;
  return { buckets, scalars };
}
