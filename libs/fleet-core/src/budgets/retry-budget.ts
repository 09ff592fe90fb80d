import { invariant } from '@meritorder/kernel';

/** Retries that may be made now; plain JSON. Never more than the reserve. */
export interface RetryBudget {
  readonly retries: number;
}

export interface RetryLimits {
  /** Retries for each request that came. */
  readonly shareOfRequests: number;
  /** Retries that a quiet time saves up, so that the first failures of a small service are retried. */
  readonly reserve: number;
}

export const RETRY_LIMITS: RetryLimits = { shareOfRequests: 0.1, reserve: 10 };

/** A start with the reserve in full. */
export function fullRetryBudget(limits: RetryLimits = RETRY_LIMITS): RetryBudget {
  invariant(limits.shareOfRequests >= 0 && limits.reserve >= 0, 'limits of retries are at least 0');
  return { retries: limits.reserve };
}

/** A request came, not a retry of one. */
export function earnRetry(budget: RetryBudget, limits: RetryLimits = RETRY_LIMITS): RetryBudget {
  return { retries: Math.min(limits.reserve, budget.retries + limits.shareOfRequests) };
}

/**
 * Another attempt for a request after one failed: the budget without it, or undefined where there is none left. Over any time
 * retries are at most `reserve + shareOfRequests x requests`, so that an outage is not answered with its own load again.
 */
export function spendRetry(budget: RetryBudget): RetryBudget | undefined {
  // Ten tenths in floating point are a little less than one.
  return budget.retries >= 1 - 1e-9 ? { retries: Math.max(0, budget.retries - 1) } : undefined;
}
