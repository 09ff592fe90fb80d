import { errorBody } from '@meritorder/contracts';
import type { Dialect } from '../dialect.js';
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
  rateHeaders: ({ limit, remaining, resetSeconds }) => ({
    ...(limit === undefined ? {} : { 'x-ratelimit-limit-requests': String(limit) }),
    ...(remaining === undefined ? {} : { 'x-ratelimit-remaining-requests': String(remaining) }),
    ...(resetSeconds === undefined ? {} : { 'x-ratelimit-reset-requests': `${resetSeconds}s` }),
  }),
};
