import type { KeyConfig } from '@meritorder/contracts';

export interface RateState {
  limit: number;
  remaining: number;
  /** Until all of it is there again. */
  resetSeconds: number;
}

export interface RateLimitReply {
  allowed: boolean;
  refusedBy?: 'requests' | 'tokens' | 'concurrency';
  /** Until a request is allowed again. */
  retryAfterSeconds?: number;
  /** A minute's requests and tokens, where the key has such a limit. */
  requests?: RateState;
  tokens?: RateState;
}

/** How often, how much and how many at once a key may ask, over all gateways. Nothing of it fails: what cannot be asked allows. */
export interface RateLimits {
  /** @param inFlight counts the call until `leave`, and for so long at most. */
  take(
    org: string,
    key: KeyConfig,
    tokensExpected: number,
    inFlight: { requestId: string; forMs: number },
  ): Promise<RateLimitReply>;
  /** What it took, once that is known. */
  correct(org: string, key: KeyConfig, tokensExpected: number, tokensUsed: number): Promise<void>;
  leave(org: string, key: KeyConfig, requestId: string): Promise<void>;
}
