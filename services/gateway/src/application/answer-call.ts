import { createHash } from 'node:crypto';
import type { KeyConfig, Kind, Refusal } from '@meritorder/contracts';
import { dialectOf, type Dialect } from './dialect.js';
import type { CallerResponse } from './ports/caller-response.js';
import type { IdempotencyStore } from './ports/idempotency.js';
import type { Inference } from './ports/inference.js';
import type { RateLimits } from './ports/rate-limits.js';
import { RecordedResponse } from './recorded-response.js';
import { refuse, Relay } from './relay.js';

export interface CallPorts {
  inference: Inference;
  rateLimits: RateLimits;
  idempotency: IdempotencyStore;
  nowMs(): number;
}

/** A request whose key is known and whose body has arrived. */
export interface IncomingCall {
  kind: Kind;
  org: string;
  key: KeyConfig;
  /** The key as it was presented. */
  presentedKey: string;
  requestId: string;
  body: Buffer;
  idempotencyKey: string | undefined;
  traceparent: string | undefined;
  tracestate: string | undefined;
}

export type CallOutcome = 'answered' | 'replayed' | 'left' | Refusal['code'];

const MAX_IDEMPOTENCY_KEY_LENGTH = 255;
/** Of a stream that is kept for a caller that asks again. */
const MAX_KEPT_BYTES = 8_000_000;
/** After these part of the request may have been answered and is paid for: asking again must not run it again. */
const PERHAPS_PAID: ReadonlySet<CallOutcome> = new Set(['stream_cut', 'cancelled', 'reader_away', 'deadline_exceeded']);

/** Answers one call, in the dialect of its kind. */
export async function answerCall(ports: CallPorts, call: IncomingCall, response: CallerResponse): Promise<CallOutcome> {
  const dialect = dialectOf(call.kind);
  const rate = await ports.rateLimits.take(call.org, call.key);
  for (const [name, value] of Object.entries(dialect.rateHeaders(rate, ports.nowMs()))) response.header(name, value);
  if (!rate.allowed)
    return refused(response, dialect, call, {
      code: 'key_rate',
      message: `The key ${call.key.id} asks more often than its limits allow.`,
      ...(rate.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: rate.retryAfterSeconds }),
    });
  return call.idempotencyKey === undefined
    ? run(ports, call, dialect, response)
    : once(ports, call, call.idempotencyKey, dialect, response);
}

function run(
  { inference }: CallPorts,
  call: IncomingCall,
  dialect: Dialect,
  response: CallerResponse,
): Promise<CallOutcome> {
  return new Promise((resolve) => {
    const reader = new Relay(dialect, response, call.requestId, resolve);
    const open = inference.ask({ ...call, key: call.presentedKey }, reader);
    response.onDrained(() => open.drained());
    response.onGone(() => {
      open.cancel();
      resolve('left');
    });
  });
}

/** At most one run, and one charge, for each idempotency key. */
async function once(
  ports: CallPorts,
  call: IncomingCall,
  idempotencyKey: string,
  dialect: Dialect,
  response: CallerResponse,
): Promise<CallOutcome> {
  const { idempotency } = ports;
  const { org, requestId } = call;
  if (idempotencyKey.length === 0 || idempotencyKey.length > MAX_IDEMPOTENCY_KEY_LENGTH)
    return refused(response, dialect, call, {
      code: 'header_invalid',
      message: `Idempotency-Key must have 1 to ${MAX_IDEMPOTENCY_KEY_LENGTH} characters.`,
    });
  const claim = await idempotency.claim(org, idempotencyKey, fingerprintOf(call), requestId);
  switch (claim.state) {
    case 'finished':
      response.header('x-meritorder-replayed', 'true');
      response.send(claim);
      return 'replayed';
    case 'in-flight':
      return refused(response, dialect, call, {
        code: 'request_duplicate',
        message: 'A request with this Idempotency-Key is in flight; ask again for its answer.',
        retryAfterSeconds: 1,
      });
    case 'mismatch':
      return refused(response, dialect, call, {
        code: 'idempotency_key_reused',
        message: 'The Idempotency-Key was used for a different request.',
      });
  }
  const recorded = new RecordedResponse(response, MAX_KEPT_BYTES);
  let outcome: CallOutcome = 'internal';
  try {
    outcome = await run(ports, call, dialect, recorded);
  } finally {
    if (outcome === 'answered' || PERHAPS_PAID.has(outcome))
      await idempotency.finish(org, idempotencyKey, requestId, recorded.answer() ?? tooLong(dialect, call));
    else await idempotency.abandon(org, idempotencyKey, requestId);
  }
  return outcome;
}

function refused(response: CallerResponse, dialect: Dialect, call: IncomingCall, refusal: Refusal): CallOutcome {
  refuse(response, dialect, call.requestId, refusal);
  return refusal.code;
}

/** What tells two requests apart: asked of what, by which key, in which words. */
function fingerprintOf({ kind, key, body }: IncomingCall): string {
  return createHash('sha256').update(`${kind}\n${key.id}\n`).update(body).digest('hex');
}

function tooLong(dialect: Dialect, { requestId }: IncomingCall) {
  const refusal: Refusal = {
    code: 'request_duplicate',
    message: 'The request with this Idempotency-Key was answered; its answer was too long to be kept.',
  };
  return {
    status: 409,
    headers: { 'content-type': 'application/json', 'x-should-retry': 'false' },
    body: Buffer.from(JSON.stringify(dialect.error(refusal, 409, requestId))),
  };
}
