import { MAX_BUDGETS_PER_REQUEST, type Refusal } from '@meritorder/contracts';
import type { ReserveGrant, ReserveReply } from '@meritorder/counters';
import { offersRefusal } from './refusals.js';
import type { Offer } from './work-message.js';

/** `isDecided`: budgets said so, which goes on record. */
export interface NotGranted {
  refusal: Refusal;
  isDecided: boolean;
}

/** What a caller is told when the counters granted nothing. */
export function notGranted(
  reply: Exclude<ReserveReply, ReserveGrant>,
  offers: readonly Offer[],
  nowMs: number,
): NotGranted {
  switch (reply.type) {
    case 'epoch':
      return {
        refusal: {
          code: 'admission_closed',
          message: 'The budget counters are being rebuilt; retry in a few seconds.',
          retryAfterSeconds: 2,
        },
        isDecided: false,
      };
    case 'refused':
      return { refusal: offersRefusal(reply, offers, nowMs), isDecided: true };
    case 'range':
      return { refusal: { code: 'internal', message: reply.message }, isDecided: false };
    case 'too-many-budgets':
      return {
        refusal: {
          code: 'budgets_too_many',
          message: `At ${reply.backend} the request matches ${reply.count} budgets; a request is charged to at most ${MAX_BUDGETS_PER_REQUEST}.`,
        },
        isDecided: true,
      };
  }
}
