import { reachedThresholds, windowAt } from '@meritorder/budget-core';
import type { BudgetDefinition, BudgetThresholdCrossedV1 } from '@meritorder/contracts';
import { nanosToUsd, type Nanos } from '@meritorder/kernel';

export interface CommittedTotal {
  budget: string;
  window: string;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
}

/**
 * The crossings that committed totals show. Deciding again gives the same identities, so recording them once is enough,
 * whatever was missed in between.
 */
export function decideThresholds(
  budgets: ReadonlyMap<string, BudgetDefinition>,
  totals: readonly CommittedTotal[],
  nowMs: number,
): BudgetThresholdCrossedV1[] {
  return totals.flatMap((total) => {
    const budget = budgets.get(total.budget);
    if (!budget) return [];
    const limitNanos = BigInt(budget.limitNanos);
    const spentNanos = total.settledNanos + total.unconfirmedNanos;
    const current = windowAt(budget.window, budget.timeZone, nowMs);
    const edges = current.id === total.window ? current : { startMs: null, endMs: null };
    return reachedThresholds(budget.thresholds, limitNanos, spentNanos).map((threshold): BudgetThresholdCrossedV1 => ({
      budget: budget.id,
      budgetName: budget.name,
      org: budget.selector.org!,
      window: total.window,
      windowStart: edges.startMs === null ? null : new Date(edges.startMs).toISOString(),
      windowEnd: edges.endMs === null ? null : new Date(edges.endMs).toISOString(),
      timeZone: budget.timeZone,
      basis: budget.basis,
      threshold,
      limitVersion: budget.limitVersion,
      limitNanos: budget.limitNanos,
      settledNanos: total.settledNanos.toString(),
      unconfirmedNanos: total.unconfirmedNanos.toString(),
      spentUsd: nanosToUsd(spentNanos),
      limitUsd: nanosToUsd(limitNanos),
      selector: budget.selector as Record<string, string>,
      crossedAt: new Date(nowMs).toISOString(),
    }));
  });
}
