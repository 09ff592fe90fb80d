import type { MeritorderConfig } from '@meritorder/contracts';
import type { Counters } from '@meritorder/counters';
import type { Bus } from '@meritorder/messaging';
import type { DataSource } from 'typeorm';
import type { BudgetBook } from './adapters/budget-book.js';

export const BUDGET_POLICY = Symbol('BUDGET_POLICY');

export class BudgetPolicyRuntime {
  /** Called when definitions were changed, so that nobody waits for the next round. */
  budgetsChanged: (ids: readonly string[]) => Promise<void> = async () => {};
  /** Called when an operator spoke of pacing, so that nobody waits for the next tick. */
  pacingChanged: () => Promise<void> = async () => {};
  private readonly failures = new Map<string, string>();

  constructor(
    readonly config: MeritorderConfig,
    readonly bus: Bus,
    readonly database: DataSource,
    readonly counters: Counters,
    readonly book: BudgetBook,
    readonly reconcileEveryMs: number,
  ) {}

  /** Notes how a duty went last. */
  went(duty: string, error?: Error): void {
    if (error) this.failures.set(duty, error.message);
    else this.failures.delete(duty);
  }

  /** Duties that cannot be done now: the service is not ready then, and says so instead of going on in silence. */
  failing(): string | undefined {
    const all = [...this.failures].map(([duty, message]) => `${duty}: ${message}`);
    return all.length > 0 ? all.join('; ') : undefined;
  }
}
