import type { KeyConfig, Kind, Refusal } from '@meritorder/contracts';
import { dialectOf, type Dialect } from './dialect.js';
import { withConversation, type ConversationPorts, type ReadCall } from './kept-conversation.js';
import { oncePerKey, type OncePorts } from './once-per-key.js';
import type { CallerResponse } from './ports/caller-response.js';
import type { Inference } from './ports/inference.js';
import type { RateLimitReply, RateLimits } from './ports/rate-limits.js';
import { refusedThread } from './refused-thread.js';
import { refusalAnswer, Relay } from './relay.js';
import { takeRate, type CallEnd } from './take-rate.js';

export interface CallPorts extends OncePorts, ConversationPorts {
  inference: Inference;
  rateLimits: RateLimits;
  nowMs(): number;
  /** The longest that a call may take. */
  mostMs: number;
}

/** A request whose key is known and whose body has arrived. */
export interface IncomingCall {
  kind: Kind;
  /** Its tokens are counted, and that is all. */
  counts: boolean;
  org: string;
  key: KeyConfig;
  /** The key as it was presented. */
  presentedKey: string;
  requestId: string;
  body: Buffer;
  idempotencyKey: string | undefined;
  /** What the header `anthropic-beta` says. */
  betas: string | undefined;
  traceparent: string | undefined;
  tracestate: string | undefined;
}

export type CallOutcome = 'answered' | 'replayed' | 'left' | Refusal['code'];

/** Answers one call, in the dialect of its kind. */
export async function answerCall(ports: CallPorts, call: IncomingCall, response: CallerResponse): Promise<CallOutcome> {
  const dialect = dialectOf(call.kind);
  const { rate, ended } = await takeRate(ports, call);
  for (const [name, value] of Object.entries(dialect.rateHeaders(rate, ports.nowMs()))) response.header(name, value);
  if (!rate.allowed) {
    const refusal = refusalOf(rate, call.key);
    response.send(refusalAnswer(dialect, call.requestId, refusal));
    return refusal.code;
  }
  let end: CallEnd = { outcome: 'internal' };
  try {
    end = await answered(ports, call, dialect, response);
  } finally {
    ended(end);
  }
  return end.outcome;
}

async function answered(
  ports: CallPorts,
  call: IncomingCall,
  dialect: Dialect,
  response: CallerResponse,
): Promise<CallEnd> {
  const refused = refusedThread(call);
  if (refused) {
    response.send(refusalAnswer(dialect, call.requestId, refused));
    return { outcome: refused.code };
  }
  const once = call.idempotencyKey !== undefined && !call.counts;
  return once
    ? oncePerKey(ports, call, dialect, response, (recorded) => run(ports, call, dialect, recorded))
    : run(ports, call, dialect, response);
}

async function run(ports: CallPorts, call: IncomingCall, dialect: Dialect, response: CallerResponse): Promise<CallEnd> {
  const { inference } = ports;
  const read = call.kind === 'responses' ? await withConversation(ports, call) : { body: call.body, keep: undefined };
  if ('code' in read) {
    response.send(refusalAnswer(dialect, call.requestId, read));
    return { outcome: read.code };
  }
  const { body, keep } = read satisfies ReadCall;
  return new Promise((resolve) => {
    const reader = new Relay(dialect, response, call.requestId, resolve, keep);
    const open = inference.ask({ ...call, body, key: call.presentedKey }, reader);
    response.onDrained(() => open.drained());
    response.onGone(() => {
      open.cancel();
      resolve({ outcome: 'left' });
    });
  });
}

function refusalOf({ refusedBy, retryAfterSeconds }: RateLimitReply, key: KeyConfig): Refusal {
  const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  if (refusedBy === 'concurrency') {
    const message = `The key ${key.id} has ${key.limits?.concurrency} requests in flight, the most it may have.`;
    return { code: 'key_concurrency', message, ...retry };
  }
  const limit =
    refusedBy === 'tokens' ? `${key.limits?.tokensPerMinute} tokens` : `${key.limits?.requestsPerMinute} requests`;
  return { code: 'key_rate', message: `The key ${key.id} has used up its ${limit} a minute.`, ...retry };
}
