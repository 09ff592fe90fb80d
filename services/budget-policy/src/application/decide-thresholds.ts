import { reachedThresholds, windowAt } from '@meritorder/budget-core';
import type { BudgetThresholdCrossedV1 } from '@meritorder/contracts';
import type { StoredBudget } from '@meritorder/ledger-store';
import { describe, type Spent, type Subject } from './counted-budget.js';
import { windowNamed } from './window-named.js';

export interface CommittedTotal extends Subject, Spent {
  window: string;
}

/**
 * The crossings that committed totals show. Deciding again gives the same identities, so recording them once is enough,
 * whatever was missed in between.
 */
export function decideThresholds(
  budgets: ReadonlyMap<string, StoredBudget>,
  totals: readonly CommittedTotal[],
  nowMs: number,
): BudgetThresholdCrossedV1[] {
  return totals.flatMap((total) => {
    const stored = budgets.get(total.template ?? total.budget);
    if (!stored || stored.retired) return [];
    const { window: kind, timeZone, thresholds } = stored.definition;
    const current = windowAt(kind, timeZone, nowMs);
    const window = current.id === total.window ? current : windowNamed(kind, timeZone, total.window);
    // Of another kind: the budget's windows were days before they were months.
    if (!window) return [];
    // What was over when the budget was changed is not measured by what it became.
    if (window.endMs !== null && window.endMs <= nowMs && Date.parse(stored.changedAt) > window.endMs) return [];
    const said = describe(total, stored, window, total);
    return reachedThresholds(thresholds, BigInt(said.limitNanos), total.settledNanos + total.unconfirmedNanos).map(
      (threshold): BudgetThresholdCrossedV1 => ({ ...said, threshold, crossedAt: new Date(nowMs).toISOString() }),
    );
  });
}
