import type { BudgetDefinition } from '@meritorder/contracts';

/** Attributes of a request and a candidate: org, key, department, ..., provider, model, backend. */
export type Attributes = Readonly<Record<string, string | undefined>>;

/**
 * Budgets by what selects them. Selectors with the same fields form a group whose budgets are found by one look-up of the
 * request's own values, so the number of budgets does not matter, only the number of distinct field sets of the org.
 */
export interface BudgetIndex {
  /** org -> groups */
  groups: ReadonlyMap<string, readonly SelectorGroup[]>;
}
interface SelectorGroup {
  fields: readonly string[];
  byValues: ReadonlyMap<string, readonly BudgetDefinition[]>;
}

export function indexBudgets(budgets: Iterable<BudgetDefinition>): BudgetIndex {
  const orgs = new Map<string, Map<string, { fields: string[]; byValues: Map<string, BudgetDefinition[]> }>>();
  for (const budget of budgets) {
    const fields = Object.keys(budget.selector)
      .filter((f) => f !== 'org')
      .sort();
    const org = budget.selector.org ?? '';
    const groups = orgs.get(org) ?? new Map();
    orgs.set(org, groups);
    const name = fields.join(',');
    const group = groups.get(name) ?? { fields, byValues: new Map() };
    groups.set(name, group);
    const values = valuesKey(fields, budget.selector as Attributes)!;
    group.byValues.set(values, [...(group.byValues.get(values) ?? []), budget]);
  }
  return { groups: new Map([...orgs].map(([org, groups]) => [org, [...groups.values()]])) };
}

/** Every budget whose selector the attributes meet, in a stable order. */
export function matchingBudgets(index: BudgetIndex, attributes: Attributes): BudgetDefinition[] {
  const found: BudgetDefinition[] = [];
  for (const group of index.groups.get(attributes['org'] ?? '') ?? []) {
    const values = valuesKey(group.fields, attributes);
    if (values !== undefined) found.push(...(group.byValues.get(values) ?? []));
  }
  return found;
}

function valuesKey(fields: readonly string[], attributes: Attributes): string | undefined {
  let key = '';
  for (const field of fields) {
    const value = attributes[field];
    if (value === undefined) return undefined;
    key += `${value.length}:${value}`;
  }
  return key;
}
