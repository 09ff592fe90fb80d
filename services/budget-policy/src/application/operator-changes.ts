import {
  checkBudgets,
  MAX_SELECTOR_SHAPES,
  OperatorBudget,
  type BudgetChange,
  type BudgetDefinition,
  type SelectorKey,
  type SelectorNames,
} from '@meritorder/contracts';
import { budgetOfConfig, type ConfiguredBudget } from '@meritorder/budget-core';
import { nanosToUsd } from '@meritorder/kernel';
import type { BudgetWrite, StoredBudget } from '@meritorder/ledger-store';
import { put, retire } from './plan-budgets.js';

/** A change that cannot be made; the message says why, in one line. */
export class BudgetChangeError extends Error {
  override readonly name = 'BudgetChangeError';
}

export interface KnownNames {
  selectors: SelectorNames;
  /** Sets of attributes that the other budgets of the org select by, each sorted and separated by blanks. */
  shapes: ReadonlySet<string>;
}

type Stored = ReadonlyMap<string, StoredBudget>;

/** Makes a budget, or changes what `change` names of it. @throws BudgetChangeError */
export function planSet(stored: Stored, id: string, change: BudgetChange, by: string, names: KnownNames): BudgetWrite {
  const before = stored.get(id);
  const inForce = before && !before.retired ? before.definition : undefined;
  const { carryOver, ...others } = { ...(inForce ? asWritten(inForce) : {}), ...change, id };
  const merged = OperatorBudget.safeParse({ ...others, ...(carryOver ? { carryOver } : {}) });
  if (!merged.success) throw new BudgetChangeError(`budget "${id}": ${firstIssue(merged.error, inForce)}`);
  const wanted = budgetOfConfig(merged.data);
  if (inForce && (inForce.selector.org !== wanted.selector.org || !sameKeys(inForce.per, wanted.per)))
    throw new BudgetChangeError(
      `budget "${id}" stays with its org and its attributes of per; remove it and set another`,
    );
  assertConsistent(merged.data, names);
  assertFewShapes(names.shapes, wanted);
  return put(before, wanted, { origin: 'operator', changedBy: by });
}

/** One instance of a template gets a limit of its own, or the template's again. @throws BudgetChangeError */
export function planException(
  stored: Stored,
  id: string,
  values: Readonly<Partial<Record<SelectorKey, string>>>,
  limitUsd: string | null,
  by: string,
  names: KnownNames,
): BudgetWrite {
  const { definition } = existing(stored, id);
  const { per } = definition;
  if (!per) throw new BudgetChangeError(`budget "${id}" is no template`);
  if (Object.keys(values).length !== per.length || per.some((key) => values[key] === undefined))
    throw new BudgetChangeError(`an instance of "${id}" needs exactly ${per.join(', ')}`);
  const others = (asWritten(definition).exceptions ?? []).filter((e) =>
    per.some((key) => e.values[key] !== values[key]),
  );
  const exceptions = limitUsd === null ? others : [...others, { values, limitUsd }];
  return planSet(stored, id, { exceptions }, by, names);
}

/** @throws BudgetChangeError */
export function planRemoval(stored: Stored, id: string, by: string): BudgetWrite {
  return retire(existing(stored, id), by);
}

function existing(stored: Stored, id: string): StoredBudget {
  const budget = stored.get(id);
  if (!budget || budget.retired) throw new BudgetChangeError(`there is no budget "${id}"`);
  return budget;
}

/** A definition in people's units: what `budgetOfConfig` makes the same definition of. */
export function asWritten(definition: BudgetDefinition): Partial<OperatorBudget> {
  const { limitNanos, limitVersion: _version, carry: _carry, exceptions, ...same } = definition;
  return {
    ...(same as Partial<OperatorBudget>),
    limitUsd: nanosToUsd(BigInt(limitNanos)),
    ...(exceptions
      ? { exceptions: exceptions.map((e) => ({ values: e.values, limitUsd: nanosToUsd(BigInt(e.limitNanos)) })) }
      : {}),
  };
}

function assertConsistent(budget: OperatorBudget, names: KnownNames): void {
  checkBudgets({ budgets: [budget], accounts: [] }, names.selectors, (path, message) => {
    throw new BudgetChangeError(`budget "${budget.id}": ${path.slice(2).join('.')}: ${message}`);
  });
}

/** What a look-up costs grows with the sets of attributes alone, so they are limited over all budgets of an org. */
function assertFewShapes(others: ReadonlySet<string>, wanted: ConfiguredBudget): void {
  if (new Set([...others, shapeOf(wanted)]).size > MAX_SELECTOR_SHAPES)
    throw new BudgetChangeError(
      `the budgets of ${wanted.selector.org ?? 'the operator'} would select by more than ${MAX_SELECTOR_SHAPES} sets of attributes`,
    );
}

export function shapeOf(budget: Pick<ConfiguredBudget, 'selector' | 'per'>): string {
  return [...Object.keys(budget.selector), ...(budget.per ?? [])].toSorted().join(' ');
}

function sameKeys(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return (a ?? []).join(' ') === (b ?? []).join(' ');
}

function firstIssue(
  error: { issues: readonly { path: readonly PropertyKey[]; message: string }[] },
  inForce: BudgetDefinition | undefined,
): string {
  const [issue] = error.issues;
  const hint = inForce ? '' : '; there is no such budget yet, so it needs a selector, a window and a limit';
  return `${issue!.path.join('.') || 'it'}: ${issue!.message}${hint}`;
}
