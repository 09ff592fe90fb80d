import { z } from 'zod';
import { Instant } from '../primitives.js';
import { BudgetState } from './budget-state.js';

/** A budget that was exhausted admits again. */
export const BudgetRecoveredV1 = z.object({
  ...BudgetState.shape,
  /** A new window began, the limit was raised, or a charge became smaller. */
  why: z.enum(['window', 'limit', 'correction']),
  recoveredAt: Instant,
});
export type BudgetRecoveredV1 = z.infer<typeof BudgetRecoveredV1>;
