import type { Dialect } from '../dialect.js';
import type { RateState } from '../ports/rate-limits.js';
import { frame, frameOf, typeOf } from './frames.js';

/** Anthropic's error types by HTTP status; others by their class. */
const TYPES: Record<number, string> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

/** Held back until the receipt is there, which comes next. */
const LAST = 'message_stop';

export const anthropic: Dialect = {
  requestIdHeader: 'request-id',
  error: (refusal, status, requestId) => ({
    type: 'error',
    error: {
      type: TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error'),
      message: refusal.message,
      code: refusal.code,
      ...(refusal.param === undefined ? {} : { param: refusal.param }),
      ...(refusal.details === undefined ? {} : { details: refusal.details }),
    },
    request_id: requestId,
  }),
  event(json) {
    const type = typeOf(json);
    return type === LAST ? undefined : frame(`event: ${type}\ndata: `, json);
  },
  broken: (error) => frameOf('event: error\ndata: ', error),
  // In an event that every client knows: some take one of an unknown type for an error.
  finish: ({ meritorder }) => frameOf(`event: ${LAST}\ndata: `, { type: LAST, meritorder }),
  rateHeaders: ({ requests, tokens }, nowMs) => ({
    ...headersOf('requests', requests, nowMs),
    ...headersOf('tokens', tokens, nowMs),
  }),
};

function headersOf(what: 'requests' | 'tokens', state: RateState | undefined, nowMs: number): Record<string, string> {
  if (!state) return {};
  return {
    [`anthropic-ratelimit-${what}-limit`]: String(state.limit),
    [`anthropic-ratelimit-${what}-remaining`]: String(state.remaining),
    [`anthropic-ratelimit-${what}-reset`]: new Date(nowMs + state.resetSeconds * 1_000).toISOString(),
  };
}
