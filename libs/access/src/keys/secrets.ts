import { randomBytes } from 'node:crypto';
import { sha256Hex } from '@meritorder/kernel';

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const RANDOM_BYTES = 32;
/** 62^43 > 2^256. */
const LENGTH = 43;

/** `mo_<id>_<256 random bits in base 62>`: says whose it is when it is found somewhere, and nothing else. */
export function newSecret(id: string): string {
  let rest = BigInt(`0x${randomBytes(RANDOM_BYTES).toString('hex')}`);
  let text = '';
  for (let i = 0; i < LENGTH; i++) {
    text = DIGITS[Number(rest % 62n)] + text;
    rest /= 62n;
  }
  return `mo_${id}_${text}`;
}

/** What is kept of a key. A plain hash is enough for 256 random bits: there is nothing to guess from. */
export function digestOf(secret: string): string {
  return sha256Hex(secret);
}
