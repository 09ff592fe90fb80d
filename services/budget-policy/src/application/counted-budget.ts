import { orgOfBudget, type BudgetDefinition, type SelectorKey } from '@meritorder/contracts';
import { enforce, limitIn, type BudgetWindow, type EnforcedBudget } from '@meritorder/budget-core';
import { nanosToUsd, type Nanos } from '@meritorder/kernel';
import type { StoredBudget } from '@meritorder/ledger-store';
import { armedVersion } from './plan-budgets.js';

/** A budget that money is counted on: its own id, and of a template's instance what makes it. */
export interface Subject {
  budget: string;
  template: string | null;
  values: Readonly<Record<string, string>> | null;
}

export interface Spent {
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
}

export const NOTHING_SPENT: Spent = { settledNanos: 0n, unconfirmedNanos: 0n };

/** The budget of a subject as routers enforce it. */
export function enforced(subject: Subject, definition: BudgetDefinition): EnforcedBudget {
  return enforce(definition, subject.values ? (subject.values as Record<SelectorKey, string>) : undefined);
}

/** What every event of a budget says of itself and of the window it speaks of. */
export function describe(subject: Subject, stored: StoredBudget, window: BudgetWindow, spent: Spent) {
  const { definition, name } = enforced(subject, stored.definition);
  const { limitNanos } = limitIn(definition, window.id);
  const instance =
    subject.template && subject.values ? { template: subject.template, values: { ...subject.values } } : {};
  return {
    budget: subject.budget,
    budgetName: name,
    ...instance,
    org: orgOfBudget(definition),
    window: window.id,
    windowStart: instant(window.startMs),
    windowEnd: instant(window.endMs),
    timeZone: definition.timeZone,
    basis: definition.basis,
    selector: { ...definition.selector, ...subject.values } as Record<string, string>,
    limitVersion: armedVersion(stored, subject.values ? { id: subject.budget, values: subject.values } : undefined),
    limitNanos: limitNanos.toString(),
    settledNanos: spent.settledNanos.toString(),
    unconfirmedNanos: spent.unconfirmedNanos.toString(),
    spentUsd: nanosToUsd(spent.settledNanos + spent.unconfirmedNanos),
    limitUsd: nanosToUsd(limitNanos),
  };
}

export function instant(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
