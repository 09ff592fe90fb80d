import type { Refusal } from '@meritorder/contracts';
import type { IncomingCall } from './answer-call.js';

/**
 * With `thread` Anthropic keeps a conversation, and is sent only what is new of it: what that costs has no bound here, and the
 * next turn may be another backend's. Its SDK's tool runner asks for one unasked, and sends the whole conversation without it
 * once it is told in the words of Anthropic's API that this cannot be.
 * @returns undefined: the request has none
 */
export function refusedThread({ kind, body }: Pick<IncomingCall, 'kind' | 'body'>): Refusal | undefined {
  if (kind !== 'messages' || !body.includes('"thread"') || !hasThread(body)) return undefined;
  return {
    code: 'no_able_backend',
    message: 'No conversation is kept here: send all of it, without `thread`.',
    param: 'thread',
    details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] },
  };
}

function hasThread(body: Buffer): boolean {
  try {
    const asked = JSON.parse(body.toString('utf8')) as { thread?: unknown } | null;
    return asked?.thread !== undefined && asked.thread !== null;
  } catch {
    return false;
  }
}
