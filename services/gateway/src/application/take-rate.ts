import type { Receipt } from '@meritorder/contracts';
import type { CallOutcome, CallPorts, IncomingCall } from './answer-call.js';
import type { RateLimitReply } from './ports/rate-limits.js';

/** How a call ended, and the receipt of an answer. */
export interface CallEnd {
  outcome: CallOutcome;
  receipt?: Receipt | undefined;
}

/** English has some four bytes a token. What is not text (an image) counts by its bytes too, until the answer says what it took. */
const BYTES_PER_TOKEN = 4;
/** After these, or an answer without usage, what was taken is not known: it stays as expected. */
const UNKNOWN: ReadonlySet<CallOutcome> = new Set(['answered', 'left', 'stream_cut', 'cancelled', 'deadline_exceeded']);

/**
 * Takes a call from the rates of its key. `ended` says what it took in truth: what was expected too much comes back, what was
 * expected too little is owed by those that come next.
 */
export async function takeRate(
  { rateLimits, mostMs }: Pick<CallPorts, 'rateLimits' | 'mostMs'>,
  { org, key, requestId, body, counts }: Pick<IncomingCall, 'org' | 'key' | 'requestId' | 'body' | 'counts'>,
): Promise<{ rate: RateLimitReply; ended(end: CallEnd): void }> {
  // More than a minute has would never fit.
  const most = key.limits?.tokensPerMinute ?? Infinity;
  const expected = Math.min(Math.ceil(body.length / BYTES_PER_TOKEN), most);
  const rate = await rateLimits.take(org, key, expected, { requestId, forMs: mostMs });
  return {
    rate,
    ended(end) {
      void rateLimits.leave(org, key, requestId);
      const used = counts ? 0 : tokensOf(end);
      if (used !== undefined) void rateLimits.correct(org, key, expected, used);
    },
  };
}

function tokensOf({ outcome, receipt }: CallEnd): number | undefined {
  const usage = receipt?.usage;
  if (!usage) return UNKNOWN.has(outcome) ? undefined : 0;
  const { inputTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens, outputTokens } = usage;
  return inputTokens + cacheReadTokens + cacheWrite5mTokens + cacheWrite1hTokens + outputTokens;
}
