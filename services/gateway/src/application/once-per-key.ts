import { createHash } from 'node:crypto';
import { ERRORS, type Refusal } from '@meritorder/contracts';
import type { CallOutcome, IncomingCall } from './answer-call.js';
import type { Dialect } from './dialect.js';
import type { CallerResponse } from './ports/caller-response.js';
import type { IdempotencyClaim, IdempotencyStore, StoredAnswer } from './ports/idempotency.js';
import { RecordedResponse } from './recorded-response.js';
import { refusalAnswer } from './relay.js';
import type { CallEnd } from './take-rate.js';

const MAX_KEY_LENGTH = 255;
/** Of an answer that is kept for a caller that asks again. */
const MAX_KEPT_BYTES = 4_000_000;
/** After these part of the request may have been answered and is paid for: asking again must not run it again. */
const PERHAPS_PAID: ReadonlySet<CallOutcome> = new Set([
  'stream_cut',
  'cancelled',
  'reader_away',
  'deadline_exceeded',
  'answer_unusable',
  'gateway_stopped',
]);

export interface OncePorts {
  idempotency: IdempotencyStore;
  onError(error: Error, requestId: string): void;
}

/**
 * At most one run, and one charge, for each idempotency key of an org. The end of the answer goes out once it is kept, so that
 * who has all of it and asks again is given it again.
 */
export async function oncePerKey(
  { idempotency, onError }: OncePorts,
  call: IncomingCall,
  dialect: Dialect,
  response: CallerResponse,
  run: (response: CallerResponse) => Promise<CallEnd>,
): Promise<CallEnd> {
  const { org, requestId } = call;
  const key = call.idempotencyKey!;
  const refused = (refusal: Refusal): CallEnd => {
    response.send(refusalAnswer(dialect, requestId, refusal));
    return { outcome: refusal.code };
  };
  if (key.length > MAX_KEY_LENGTH)
    return refused({ code: 'header_invalid', message: `Idempotency-Key has more than ${MAX_KEY_LENGTH} characters.` });
  let claim: IdempotencyClaim;
  try {
    claim = await idempotency.claim(org, key, fingerprintOf(call), requestId);
  } catch (error) {
    onError(error as Error, requestId);
    return refused({
      code: 'idempotency_unavailable',
      message: 'Whether the Idempotency-Key is new could not be found out; the request was not run.',
      retryAfterSeconds: 1,
    });
  }
  switch (claim.state) {
    case 'finished':
      response.header('x-meritorder-replayed', 'true');
      response.send(claim);
      return { outcome: 'replayed' };
    case 'in-flight':
      return refused({
        code: 'request_duplicate',
        message: 'A request with this Idempotency-Key is in flight; ask again for its answer.',
        retryAfterSeconds: 1,
      });
    case 'mismatch':
      return refused({
        code: 'idempotency_key_reused',
        message: 'The Idempotency-Key was used for a different request.',
      });
  }
  const recorded = new RecordedResponse(response, MAX_KEPT_BYTES);
  let end: CallEnd = { outcome: 'internal' };
  try {
    end = await run(recorded);
  } finally {
    const { outcome } = end;
    const kept =
      outcome === 'answered' || PERHAPS_PAID.has(outcome)
        ? idempotency.finish(org, key, requestId, recorded.answer() ?? tooLong(dialect, requestId))
        : idempotency.abandon(org, key, requestId);
    // What cannot be noted leaves the key taken, which never charges twice.
    await kept.catch((error: Error) => onError(error, requestId));
    recorded.release();
  }
  return end;
}

/** What tells two requests apart: asked of what, by which key, in which words. */
function fingerprintOf({ kind, key, body }: IncomingCall): string {
  return createHash('sha256').update(`${kind}\n${key.id}\n`).update(body).digest('hex');
}

function tooLong(dialect: Dialect, requestId: string): StoredAnswer {
  const code = 'request_duplicate';
  const { status } = ERRORS[code];
  const message = 'The request with this Idempotency-Key was answered; its answer was too long to be kept.';
  const answer = refusalAnswer(dialect, requestId, { code, message });
  return { ...answer, status, headers: { ...answer.headers, 'x-should-retry': 'false' } };
}
