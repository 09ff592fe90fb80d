import type { BudgetDefinition } from '@meritorder/contracts';
import { carriedNanos, limitIn } from '@meritorder/budget-core';
import type { Nanos } from '@meritorder/kernel';
import type { CarryOver } from '@meritorder/ledger-store';

/** What counters can tell apart under one version of a limit. */
const MOST_REVISIONS = 999;

/**
 * What is carried into a window from the one before, if that is not what was carried already. Unconfirmed charges count as spent;
 * when they turn out to be less, a revision follows.
 */
export function decideCarry(of: {
  /** In force when the window before ended, and what was carried into that one. */
  definition: BudgetDefinition;
  carriedBefore: CarryOver | undefined;
  fromWindow: string;
  window: string;
  spentNanos: Nanos;
  carried: CarryOver | undefined;
}): CarryOver | undefined {
  const { carry: _carry, ...rest } = of.definition;
  const definition: BudgetDefinition = of.carriedBefore ? { ...rest, carry: inDefinition(of.carriedBefore) } : rest;
  const nanos = carriedNanos(definition, of.fromWindow, of.spentNanos);
  const revision = (of.carried?.revision ?? 0) + 1;
  if (of.carried?.nanos === nanos || revision > MOST_REVISIONS) return undefined;
  return {
    budget: definition.id,
    window: of.window,
    revision,
    fromWindow: of.fromWindow,
    nanos,
    limitNanos: limitIn(definition, of.fromWindow).limitNanos,
    spentNanos: of.spentNanos,
  };
}

export function inDefinition(carry: CarryOver): NonNullable<BudgetDefinition['carry']> {
  return { window: carry.window, nanos: carry.nanos.toString(), revision: carry.revision };
}
