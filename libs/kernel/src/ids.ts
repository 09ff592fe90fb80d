import { v7 } from 'uuid';

/** Everything that becomes a subject token or a key part is a slug. */
export const SLUG = /^[a-z0-9-]{1,64}$/;

export function isSlug(text: string): boolean {
  return SLUG.test(text);
}

const RANDOM_BYTES = 16;
/**
 * Drawn together, as many as the system gives at once: one at a time, asking for them takes most of the time of an id, and a request
 * that comes when they have run out waits for tens of microseconds.
 */
const pool = new Uint8Array(4_096 * RANDOM_BYTES);
let drawn = pool.length;
let lastMs = 0;
let sequence = 0;

/** A new id (UUIDv7), itself a slug: of one process each is later in order than those before it. */
export function newId(): string {
  if (drawn === pool.length) {
    crypto.getRandomValues(pool);
    drawn = 0;
  }
  const random = pool.subarray(drawn, (drawn += RANDOM_BYTES));
  const nowMs = Date.now();
  // RFC 9562, 6.2, method 1: within a millisecond, or when the clock goes back, the counter goes on from where it began at random.
  if (nowMs > lastMs) {
    lastMs = nowMs;
    sequence = (random[6]! << 23) | (random[7]! << 16) | (random[8]! << 8) | random[9]!;
  } else if (++sequence > 0x7fff_ffff) {
    sequence = 0;
    lastMs++;
  }
  return v7({ random, msecs: lastMs, seq: sequence });
}
