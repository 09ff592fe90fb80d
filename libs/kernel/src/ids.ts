import { v7 } from 'uuid';

/** Everything that becomes a subject token or a key part is a slug. */
export const SLUG = /^[a-z0-9-]{1,64}$/;

export function isSlug(text: string): boolean {
  return SLUG.test(text);
}

/** A new time-ordered id (UUIDv7), itself a slug. */
export function newId(): string {
  return v7();
}
