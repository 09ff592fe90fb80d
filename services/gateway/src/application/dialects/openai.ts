import { errorBody } from '@meritorder/contracts';
import type { Dialect } from '../dialect.js';
import type { RateState } from '../ports/rate-limits.js';
import { frame, frameOf } from './frames.js';

const DONE = Buffer.from('data: [DONE]\n\n');
/** So that a client that reads the delta of the first choice of every chunk, as most do, finds one. */
const NOTHING_NEW = [{ index: 0, delta: {}, finish_reason: null }];

export const openai: Dialect = {
  requestIdHeader: 'x-request-id',
  error: (refusal, _status, requestId) => errorBody(refusal, requestId),
  event: (json) => frame('data: ', json),
  broken: (error) => frameOf('data: ', error),
  finish: (last) => Buffer.concat([frameOf('data: ', { ...last, choices: NOTHING_NEW }), DONE]),
  rateHeaders: ({ requests, tokens }) => ({ ...headersOf('requests', requests), ...headersOf('tokens', tokens) }),
};

function headersOf(what: 'requests' | 'tokens', state: RateState | undefined): Record<string, string> {
  if (!state) return {};
  return {
    [`x-ratelimit-limit-${what}`]: String(state.limit),
    [`x-ratelimit-remaining-${what}`]: String(state.remaining),
    [`x-ratelimit-reset-${what}`]: `${state.resetSeconds}s`,
  };
}
