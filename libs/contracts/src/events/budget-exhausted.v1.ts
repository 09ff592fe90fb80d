import { z } from 'zod';
import { Instant } from '../primitives.js';
import { BudgetState } from './budget-state.js';

/** Committed spend has reached the limit of a window: nothing that costs something is admitted until it recovers. */
export const BudgetExhaustedV1 = z.object({ ...BudgetState.shape, exhaustedAt: Instant });
export type BudgetExhaustedV1 = z.infer<typeof BudgetExhaustedV1>;
