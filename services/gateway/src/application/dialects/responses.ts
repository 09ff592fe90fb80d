import { errorBody } from '@meritorder/contracts';
import type { Dialect } from '../dialect.js';
import { frameOf, typedFrame } from './frames.js';
import { openai } from './openai.js';

/** OpenAI's responses: like its chat completions, but for how a stream is told. */
export const responses: Dialect = {
  ...openai,
  error: (refusal, _status, requestId) => errorBody(refusal, requestId),
  event: typedFrame,
  broken: (error) => frameOf('event: error\ndata: ', { type: 'error', ...saidIn(error), ...error }),
  // The receipt is where it is in an answer that is not streamed.
  finish: ({ meritorder, ...last }) => {
    const response = { ...(last['response'] as object), meritorder };
    return typedFrame(Buffer.from(JSON.stringify({ ...last, response })));
  },
};

/** OpenAI says it in the event itself, and some clients read it in `error`, as elsewhere. */
function saidIn(error: object): object {
  const { code, message, param } = (error as { error: Record<string, unknown> }).error;
  return { code, message, param, sequence_number: MOST_EVENTS };
}

/** Which event it is, is not known here: it comes after all others. */
const MOST_EVENTS = 2 ** 31 - 1;
