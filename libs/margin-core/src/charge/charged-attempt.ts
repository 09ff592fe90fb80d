import type { Nanos } from '@meritorder/kernel';
import { chargeNanos, type ChargeRule } from './charge-rule.js';

/** How an attempt ended, as far as it decides whether the customer is charged. */
export interface AttemptEnd {
  readonly outcome: 'finished' | 'failed' | 'cancelled' | 'not-sent';
  readonly code?: string | undefined;
  /** Of a stream: how many had gone to the caller. */
  readonly chunks?: number | undefined;
}

/**
 * Whether the customer has what is charged for: the whole answer, or the part of one after which the caller cancelled, stopped
 * reading, or was cut by a budget. One that broke off for another reason is the operator's loss, like an attempt that failed
 * before its first token.
 */
export function isAnswer({ outcome, code, chunks = 0 }: AttemptEnd): boolean {
  if (outcome === 'finished') return true;
  if (chunks === 0) return false;
  return outcome === 'cancelled' ? code !== 'stopped' : outcome === 'failed' && code === READER_AWAY;
}

/** The code of an attempt that ended because its caller no longer took what was sent. */
export const READER_AWAY = 'reader-away';

/**
 * What the customer is charged for an attempt: by the rule of its tier on its full cost as it stands, confirmed or at its bound.
 *
 * @param isCharged whether it is the answer of its request, and the first to be booked as such
 */
export function chargedNanos(rule: ChargeRule, fullNanos: Nanos, isCharged: boolean): Nanos {
  return isCharged ? chargeNanos(rule, fullNanos) : 0n;
}
