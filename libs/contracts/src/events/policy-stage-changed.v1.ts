import { z } from 'zod';
import { StageAction } from '../internal/budget-definition.v1.js';
import { Instant } from '../primitives.js';
import { BudgetState } from './budget-state.js';

const Stage = z.enum(['none', ...StageAction.options]);

/** The strictest stage in force of a budget has changed. */
export const PolicyStageChangedV1 = z.object({
  ...BudgetState.shape,
  from: Stage,
  to: Stage,
  /** The share of the limit at which `to` begins; null for `none`. */
  at: z.number().nullable(),
  /** While a throttle is in force: requests that cost something in any minute. */
  requestsPerMinute: z.int().min(1).nullable(),
  direction: z.enum(['tightened', 'relaxed']),
  /** Spend went on, a new window began, the limit or the stages were changed, or a charge was corrected. */
  why: z.enum(['spend', 'window', 'limit', 'definition', 'correction']),
  changedAt: Instant,
});
export type PolicyStageChangedV1 = z.infer<typeof PolicyStageChangedV1>;
