import type { BudgetDefinition, BudgetWindowRow } from '@meritorder/contracts';
import { limitIn, stageAt, windowAt, type BudgetWindow } from '@meritorder/budget-core';
import type { Nanos } from '@meritorder/kernel';
import type { StoredBudget } from '@meritorder/ledger-store';
import { describe, enforced, NOTHING_SPENT, type Spent, type Subject } from './counted-budget.js';

export interface WindowFacts {
  total: (Spent & { correctedNanos: Nanos }) | undefined;
  /** Undefined: the counters are being rebuilt. */
  heldNanos: Nanos | undefined;
  /** In force at some time of this window, oldest first. */
  definitions: readonly BudgetDefinition[];
}

export function windowNow({ definition }: Pick<StoredBudget, 'definition'>, nowMs: number): BudgetWindow {
  return windowAt(definition.window, definition.timeZone, nowMs);
}

/** A budget in the window that counts now, for an operator. */
export function windowRow(subject: Subject, stored: StoredBudget, facts: WindowFacts, nowMs: number): BudgetWindowRow {
  const window = windowNow(stored, nowMs);
  const spent = facts.total ?? NOTHING_SPENT;
  const said = describe(subject, stored, window, spent);
  const { definition } = enforced(subject, stored.definition);
  const limitNanos = BigInt(said.limitNanos);
  const spentNanos = spent.settledNanos + spent.unconfirmedNanos;
  const { action, requestsPerMinute } = stageAt(definition, spentNanos, limitNanos);
  return {
    budget: subject.budget,
    name: said.budgetName,
    ...(subject.values ? { values: { ...subject.values } } : {}),
    window: window.id,
    windowStart: said.windowStart,
    windowEnd: said.windowEnd,
    basis: said.basis,
    limitNanos: said.limitNanos,
    carriedNanos: (limitNanos - BigInt(definition.limitNanos)).toString(),
    settledNanos: said.settledNanos,
    unconfirmedNanos: said.unconfirmedNanos,
    heldNanos: facts.heldNanos?.toString() ?? null,
    stage: action,
    requestsPerMinute,
    exhausted: spentNanos >= limitNanos,
    above: aboveLimit({
      spentNanos,
      correctedNanos: facts.total?.correctedNanos ?? 0n,
      limitNanos,
      highestNanos: highestLimit(subject, facts.definitions, window.id, limitNanos),
    }),
  };
}

/** The most that grants of a window were ever allowed. */
function highestLimit(
  subject: Subject,
  definitions: readonly BudgetDefinition[],
  windowId: string,
  limitNanos: Nanos,
): Nanos {
  return definitions
    .map((definition) => limitIn(enforced(subject, definition).definition, windowId).limitNanos)
    .reduce((highest, limit) => (limit > highest ? limit : highest), limitNanos);
}

/**
 * What is spent above a limit, by cause, so that a limit lowered below what was spent and a late price are not taken for an overrun
 * (invariant 2): no grant ever passed the highest limit that was in force.
 */
export function aboveLimit(of: {
  spentNanos: Nanos;
  correctedNanos: Nanos;
  limitNanos: Nanos;
  highestNanos: Nanos;
}): BudgetWindowRow['above'] {
  const above = atLeastZero(of.spentNanos - of.limitNanos);
  const corrected = atLeastZero(of.correctedNanos);
  const overrun = atLeastZero(of.spentNanos - corrected - of.highestNanos);
  const byCorrection = above - overrun < corrected ? above - overrun : corrected;
  return {
    loweredNanos: (above - overrun - byCorrection).toString(),
    correctedNanos: byCorrection.toString(),
    overrunNanos: overrun.toString(),
  };
}

function atLeastZero(nanos: Nanos): Nanos {
  return nanos > 0n ? nanos : 0n;
}
