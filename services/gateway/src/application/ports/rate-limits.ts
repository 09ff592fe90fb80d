import type { KeyConfig } from '@meritorder/contracts';

export interface RateLimitReply {
  allowed: boolean;
  /** Requests per window. */
  limit?: number;
  /** Requests left in the window. */
  remaining?: number;
  /** Until the window is full again. */
  resetSeconds?: number;
  /** Until a request is allowed again. */
  retryAfterSeconds?: number;
}

/** How often a key may ask. */
export interface RateLimits {
  take(org: string, key: KeyConfig, tokensExpected?: number): Promise<RateLimitReply>;
}
