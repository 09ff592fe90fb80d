import { canonicalJson, newId, sha256Hex } from '@meritorder/kernel';
import type { ErrorCode, Refusal } from '@meritorder/contracts';
import type { DispatchRequest } from './dispatch-request.js';
import type { DispatchOutcome } from './outcome.js';
import type { KeyLog, KeyUse } from './ports.js';

/** After these the caller may have had part of an answer, or one that cannot be told was paid for. */
const PARTLY_ANSWERED: ReadonlySet<ErrorCode> = new Set([
  'stream_cut',
  'cancelled',
  'deadline_exceeded',
  'answer_unusable',
]);

/**
 * Runs a request with an idempotency key if it is the first with that key in its org; any other is told of the first, so that a
 * client that asks again after a time-out is not charged twice. An error before any part of an answer frees the key, before the
 * caller hears of it. A router that dies leaves the key taken: whether its request was answered is not known.
 */
export async function oncePerKey(
  keys: KeyLog,
  request: DispatchRequest,
  run: () => Promise<DispatchOutcome>,
): Promise<DispatchOutcome> {
  const key = request.body.meritorder?.idempotency_key;
  if (key === undefined) return run();
  const { org } = request.attribution;
  const use: KeyUse = {
    claim: request.isJob ? `job/${request.requestId}` : newId(),
    requestId: request.requestId,
    fingerprint: fingerprintOf(request),
    state: 'in-flight',
  };
  let first: KeyUse;
  try {
    first = await keys.claim(org, key, use);
  } catch (error) {
    return refused({
      code: 'internal',
      message: `Whether the idempotency key is new could not be found out: ${(error as Error).message}`,
      retryAfterSeconds: 1,
    });
  }
  if (first.claim !== use.claim) return refused(duplicate(first, use));
  const outcome = await run();
  // Whether it is answered shows when its batch has ended; meanwhile the key is taken.
  if (outcome.ended === 'batched') return outcome;
  // What cannot be noted leaves the key taken, which never charges twice.
  if (outcome.ended === 'answered' || PARTLY_ANSWERED.has(outcome.refusal.code))
    await keys.answered(org, key, { ...use, state: 'answered' }).catch(() => {});
  else await keys.free(org, key).catch(() => {});
  return outcome;
}

/** Equal for what is the same request: who asks, and what is asked. */
export function fingerprintOf(request: Pick<DispatchRequest, 'kind' | 'attribution' | 'body' | 'source'>): string {
  const { kind, attribution, body, source } = request;
  return sha256Hex(canonicalJson({ kind, attribution, body: source?.sent ?? body }));
}

function duplicate(first: KeyUse, use: KeyUse): Refusal {
  const param = 'meritorder.idempotency_key';
  if (first.fingerprint !== use.fingerprint)
    return { code: 'idempotency_key_reused', message: 'The idempotency key was used for a different request.', param };
  const how = first.state === 'answered' ? 'was answered' : 'is in flight';
  return {
    code: 'request_duplicate',
    message: `The request ${first.requestId} with this idempotency key ${how}; this one was not run.`,
    param,
    details: { first_request_id: first.requestId, state: first.state },
  };
}

function refused(refusal: Refusal): DispatchOutcome {
  return { ended: 'refused', refusal };
}
