import type { Refusal } from '@meritorder/contracts';

/**
 * How a request ended. `answered`: a worker has answered or is the one that told the caller. `batched`: a worker has the job, and
 * sends it on when its batch has ended.
 */
export type DispatchOutcome = { ended: 'answered' } | { ended: 'batched' } | { ended: 'refused'; refusal: Refusal };

/** How an attempt ended. `yielded`: nothing was said to the caller, whom the other attempt of the request has. */
export type Step = DispatchOutcome | { ended: 'next'; refusal: Refusal } | { ended: 'yielded' };

export const YIELDED: Step = { ended: 'yielded' };
export const CANCELLED: Refusal = { code: 'cancelled', message: 'Cancelled by the caller.' };

export function refused(refusal: Refusal): DispatchOutcome {
  return { ended: 'refused', refusal };
}
