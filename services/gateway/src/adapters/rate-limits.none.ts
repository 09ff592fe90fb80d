import type { RateLimitReply, RateLimits } from '../application/ports/rate-limits.js';

const ALLOWED: RateLimitReply = { allowed: true };

/** Where no key has a rate of its own. */
export class NoRateLimits implements RateLimits {
  take(): Promise<RateLimitReply> {
    return Promise.resolve(ALLOWED);
  }
}
