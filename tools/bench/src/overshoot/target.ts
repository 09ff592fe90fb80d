import type { Nanos } from '@meritorder/kernel';
import type { PlannedBudget, PlannedRequest } from './plan.js';

/** What a budget said when it refused, in nano-USD: the script's own numbers at that instant. */
export interface RefusalNumbers {
  budget: string;
  limitNanos: Nanos;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
  heldNanos: Nanos;
  neededNanos: Nanos;
}

export type Outcome =
  | { type: 'admitted' }
  /** `budget`: because of a budget; otherwise for another reason, named by the code. */
  | { type: 'refused'; code: string; budget: boolean; numbers?: RefusalNumbers }
  /** Neither answered nor refused in time: whoever had it was killed. */
  | { type: 'unanswered' };

/** What was spent on a budget's window once everything has settled. */
export interface BudgetSpend {
  budget: string;
  limitNanos: Nanos;
  /** By the invoice of the simulated provider: the truth for any target. */
  invoiceNanos: Nanos;
  /** By the target's own books; undefined when it cannot say. */
  bookedNanos: Nanos | undefined;
}

/** Something that admits requests within budgets. Used in this order: setBudget for each, start, request ..., settle, stop. */
export interface Target {
  setBudget(budget: PlannedBudget): Promise<void>;
  /** Returns when it takes requests. */
  start(): Promise<void>;
  /** Never rejects. */
  request(request: PlannedRequest): Promise<Outcome>;
  /** Waits until nothing is in flight any more, then reads invoice and books. */
  settle(): Promise<{ spends: BudgetSpend[]; checks: Record<string, number> }>;
  stop(): Promise<void>;
}
