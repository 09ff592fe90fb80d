import type { KeyConfig } from '@meritorder/contracts';

/** The keys in force. */
export interface Keys {
  /** By the key as the caller presents it; a key that was revoked is not found. */
  find(presented: string): { org: string; key: KeyConfig } | undefined;
  /** Why keys that were made at run time are not found at the moment; undefined: all are known. */
  stale(): string | undefined;
}
