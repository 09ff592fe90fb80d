import { headers } from '@nats-io/transport-node';
import { ERRORS, errorBody, HEADERS, type Refusal } from '@meritorder/contracts';
import type { Bus } from '@meritorder/messaging';
import type { Caller } from '../application/ports.js';

/** Errors as NATS service errors with OpenAI's body. */
export class NatsCaller implements Caller {
  constructor(private readonly bus: Bus) {}

  refuse(replyTo: string, requestId: string, refusal: Refusal): void {
    const h = headers();
    h.set(HEADERS.request, requestId);
    h.set(HEADERS.seq, '0');
    h.set(HEADERS.status, refusal.code === 'cancelled' ? 'cancelled' : 'error');
    h.set(HEADERS.serviceError, refusal.code);
    h.set(HEADERS.serviceErrorCode, String(ERRORS[refusal.code].status));
    if (refusal.retryAfterSeconds !== undefined) h.set(HEADERS.retryAfter, String(refusal.retryAfterSeconds));
    this.bus.nats.publish(replyTo, JSON.stringify(errorBody(refusal, requestId)), { headers: h });
  }
}
