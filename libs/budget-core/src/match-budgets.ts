import type { BudgetDefinition, SelectorKey } from '@meritorder/contracts';
import { enforce, type EnforcedBudget, type InstanceValues } from './enforced-budget.js';

/** Attributes of a request and a candidate: org, key, department, ..., provider, model, backend. */
export type Attributes = Readonly<Partial<Record<SelectorKey, string | undefined>>>;

/**
 * Budgets by what selects them. Selectors with the same fields form a group whose budgets are found by one look-up of the
 * request's own values, so the number of budgets does not matter, only the number of distinct field sets of the org and of
 * those that span orgs (`MAX_SELECTOR_SHAPES` each).
 */
export interface BudgetIndex {
  /** org ('' for those that span orgs) -> field set -> group */
  orgs: Map<string, Map<string, SelectorGroup>>;
  byId: Map<string, BudgetDefinition>;
}
interface SelectorGroup {
  fields: readonly SelectorKey[];
  byValues: Map<string, Entry>;
  /** What its templates have instances by, and how many of them. */
  per: Map<SelectorKey, number>;
}
interface Entry {
  budgets: EnforcedBudget[];
  templates: Template[];
}
/** A template with the instances met so far: a pure memo, bounded. */
interface Template {
  definition: BudgetDefinition;
  per: readonly SelectorKey[];
  instances: Map<string, EnforcedBudget>;
}

/** What of a backend a budget can select by. */
const OF_BACKEND = ['backend', 'model', 'provider'] as const satisfies readonly SelectorKey[];
type OfBackend = (typeof OF_BACKEND)[number];

/** Where budgets without an org are. */
const SPANNING = '';
const REMEMBERED_INSTANCES = 50_000;

export function indexBudgets(budgets: Iterable<BudgetDefinition>): BudgetIndex {
  const index: BudgetIndex = { orgs: new Map(), byId: new Map() };
  for (const budget of budgets) putBudget(index, budget);
  return index;
}

/** Adds a budget, or replaces the one with its id: what a change costs does not grow with the number of budgets. */
export function putBudget(index: BudgetIndex, budget: BudgetDefinition): void {
  dropBudget(index, budget.id);
  remembered.delete(index);
  index.byId.set(budget.id, budget);
  const { org, fields, name, values } = placeOf(budget);
  const groups = index.orgs.get(org) ?? new Map<string, SelectorGroup>();
  index.orgs.set(org, groups);
  const group = groups.get(name) ?? { fields, byValues: new Map<string, Entry>(), per: new Map<SelectorKey, number>() };
  groups.set(name, group);
  const entry = group.byValues.get(values) ?? { budgets: [], templates: [] };
  group.byValues.set(values, entry);
  for (const field of budget.per ?? []) group.per.set(field, (group.per.get(field) ?? 0) + 1);
  if (budget.per) entry.templates.push({ definition: budget, per: budget.per.toSorted(), instances: new Map() });
  else entry.budgets.push(enforce(budget));
}

export function dropBudget(index: BudgetIndex, id: string): void {
  const known = index.byId.get(id);
  if (!known) return;
  index.byId.delete(id);
  remembered.delete(index);
  const { org, name, values } = placeOf(known);
  const groups = index.orgs.get(org)!;
  const group = groups.get(name)!;
  for (const field of known.per ?? []) {
    const left = group.per.get(field)! - 1;
    if (left === 0) group.per.delete(field);
    else group.per.set(field, left);
  }
  const entry = group.byValues.get(values)!;
  entry.budgets = entry.budgets.filter((b) => b.id !== id);
  entry.templates = entry.templates.filter((t) => t.definition.id !== id);
  if (entry.budgets.length + entry.templates.length === 0) group.byValues.delete(values);
  if (group.byValues.size === 0) groups.delete(name);
  if (groups.size === 0) index.orgs.delete(org);
}

function placeOf(budget: BudgetDefinition): { org: string; fields: SelectorKey[]; name: string; values: string } {
  const fields = (Object.keys(budget.selector) as SelectorKey[]).filter((f) => f !== 'org').sort();
  return {
    org: budget.selector.org ?? SPANNING,
    fields,
    name: fields.join(','),
    values: valuesKey(fields, budget.selector)!,
  };
}

/**
 * Every budget whose selector the attributes meet, in a stable order: those of the org, those that span orgs, and of each
 * template the instance that the values make. A template asks for all its attributes: a request without one is not counted.
 */
export function matchingBudgets(index: BudgetIndex, attributes: Attributes): EnforcedBudget[] {
  const found: EnforcedBudget[] = [];
  const ofOrg = attributes.org ? index.orgs.get(attributes.org) : undefined;
  if (ofOrg) for (const group of ofOrg.values()) collect(group, attributes, found);
  const spanning = index.orgs.get(SPANNING);
  if (spanning) for (const group of spanning.values()) collect(group, attributes, found);
  return found;
}

type Backend = Readonly<Record<OfBackend, string>>;
type BudgetsAt = (backend: Backend) => readonly EnforcedBudget[];

/** Lists that are remembered for an index; then it begins anew. */
const REMEMBERED_LISTS = 50_000;
interface Remembered {
  /** By org: what of a request its budgets look at. */
  fields: Map<string, readonly SelectorKey[]>;
  /** By the values of these. */
  requests: Map<string, BudgetsAt>;
  lists: number;
}
/** Of an index, until it changes. */
const remembered = new WeakMap<BudgetIndex, Remembered>();

/**
 * `matchingBudgets` of one request at any number of backends. Requests and backends that differ in nothing that a budget looks at
 * are given the same list, as long as no budget changes: a pure memo, bounded.
 */
export function budgetsOfRequest(index: BudgetIndex, request: Attributes): BudgetsAt {
  let known = remembered.get(index);
  if (known === undefined || known.lists > REMEMBERED_LISTS)
    remembered.set(index, (known = { fields: new Map(), requests: new Map(), lists: 0 }));
  const org = request.org ?? SPANNING;
  let fields = known.fields.get(org);
  if (fields === undefined) known.fields.set(org, (fields = fieldsOf(index, org)));
  let key = org;
  for (const field of fields) {
    const value = request[field];
    key += value === undefined ? '-' : `${value.length}:${value}`;
  }
  let at = known.requests.get(key);
  if (at === undefined) known.requests.set(key, (at = budgetsAt(index, request, known)));
  return at;
}

function* groupsOf(index: BudgetIndex, org: string): Iterable<SelectorGroup> {
  if (org !== SPANNING) yield* index.orgs.get(org)?.values() ?? [];
  yield* index.orgs.get(SPANNING)?.values() ?? [];
}

function fieldsOf(index: BudgetIndex, org: string): SelectorKey[] {
  const fields = new Set<SelectorKey>();
  for (const group of groupsOf(index, org)) {
    for (const field of group.fields) fields.add(field);
    for (const field of group.per.keys()) fields.add(field);
  }
  return [...fields];
}

function budgetsAt(index: BudgetIndex, request: Attributes, known: Remembered): BudgetsAt {
  /** In order: budgets that any backend has, and groups that look at the backend. */
  const parts: (EnforcedBudget[] | SelectorGroup)[] = [];
  const looksAt = new Set<OfBackend>();
  for (const group of groupsOf(index, request.org ?? SPANNING)) {
    const ofBackend = OF_BACKEND.filter((field) => group.fields.includes(field) || group.per.has(field));
    for (const field of ofBackend) looksAt.add(field);
    if (ofBackend.length > 0) parts.push(group);
    else {
      const found: EnforcedBudget[] = [];
      collect(group, request, found);
      parts.push(found);
    }
  }
  const fields = [...looksAt];
  const lists = new Map<string, EnforcedBudget[]>();
  return (backend) => {
    const key = fields.length === 1 ? backend[fields[0]!] : valuesKey(fields, backend)!;
    let found = lists.get(key);
    if (found === undefined) {
      const attributes = { ...request, ...backend };
      found = [];
      for (const part of parts)
        if (Array.isArray(part)) found.push(...part);
        else collect(part, attributes, found);
      lists.set(key, found);
      known.lists++;
    }
    return found;
  };
}

function collect(group: SelectorGroup, attributes: Attributes, found: EnforcedBudget[]): void {
  const values = valuesKey(group.fields, attributes);
  const entry = values === undefined ? undefined : group.byValues.get(values);
  if (!entry) return;
  for (const budget of entry.budgets) found.push(budget);
  for (const template of entry.templates) {
    const instance = instanceOf(template, attributes);
    if (instance) found.push(instance);
  }
}

function instanceOf(template: Template, attributes: Attributes): EnforcedBudget | undefined {
  const key = valuesKey(template.per, attributes);
  if (key === undefined) return undefined;
  let instance = template.instances.get(key);
  if (!instance) {
    const values = Object.fromEntries(template.per.map((field) => [field, attributes[field]])) as InstanceValues;
    instance = enforce(template.definition, values);
    if (template.instances.size >= REMEMBERED_INSTANCES) template.instances.clear();
    template.instances.set(key, instance);
  }
  return instance;
}

function valuesKey(fields: readonly SelectorKey[], attributes: Attributes): string | undefined {
  let key = '';
  for (const field of fields) {
    const value = attributes[field];
    if (value === undefined) return undefined;
    key += `${value.length}:${value}`;
  }
  return key;
}
