import { ERRORS, type Kind, type Receipt, type Refusal } from '@meritorder/contracts';
import { anthropic } from './dialects/anthropic.js';
import { openai } from './dialects/openai.js';
import { responses } from './dialects/responses.js';
import type { RateLimitReply } from './ports/rate-limits.js';

/** How one provider's clients are answered. */
export interface Dialect {
  /** The header by which its SDKs tell the request. */
  requestIdHeader: string;
  /** A body for a refusal, as one JSON object. */
  error(refusal: Refusal, httpStatus: number, requestId: string): object;
  /** One chunk of a stream as a server-sent event; undefined: `finish` says it. */
  event(json: Uint8Array): Uint8Array | undefined;
  /** The end of a stream that broke off. */
  broken(error: object): Uint8Array;
  /** The end of a stream that was answered; `last` is its last message. */
  finish(last: { meritorder?: Receipt; [more: string]: unknown }): Uint8Array;
  /** The headers by which its SDKs know their limits. */
  rateHeaders(rate: RateLimitReply, nowMs: number): Record<string, string>;
}

export function dialectOf(kind: Kind): Dialect {
  return kind === 'messages' ? anthropic : kind === 'responses' ? responses : openai;
}

/** Longest wait that an SDK takes from a server, seconds: for more it falls back to its own, which is shorter. */
const MAX_SDK_WAIT_SECONDS = 60;

/**
 * What tells an SDK when to ask again, and not to where that is of no use. The SDKs of OpenAI and Anthropic ask again by
 * themselves after 408, 409, 429 and 5xx, unless `x-should-retry` says otherwise.
 */
export function retryHeaders({ code, retryAfterSeconds }: Refusal): Record<string, string> {
  const useless = !ERRORS[code].retryable && code !== 'request_duplicate';
  const tooFar = retryAfterSeconds !== undefined && retryAfterSeconds > MAX_SDK_WAIT_SECONDS;
  return {
    ...(retryAfterSeconds === undefined
      ? {}
      : {
          'retry-after': String(Math.ceil(retryAfterSeconds)),
          'retry-after-ms': String(Math.ceil(retryAfterSeconds * 1_000)),
        }),
    ...(useless || tooFar ? { 'x-should-retry': 'false' } : {}),
  };
}
