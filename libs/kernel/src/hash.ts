import { createHash } from 'node:crypto';

/** The first hex digits (4 bits each, at most 64) of the SHA-256 of a text: a pure function, for ids made of what they name. */
export function sha256Hex(text: string, digits = 64): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}
