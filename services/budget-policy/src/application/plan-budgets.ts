import type { BudgetDefinition } from '@meritorder/contracts';
import { instanceId, type ConfiguredBudget } from '@meritorder/budget-core';
import { canonicalJson } from '@meritorder/kernel';
import type { Armed, BudgetOrigin, BudgetWrite, StoredBudget } from '@meritorder/ledger-store';

type Stored = ReadonlyMap<string, StoredBudget>;

/**
 * What the configuration changes. The last statement counts, whoever made it, and a configuration that says of a budget what it
 * said before says nothing: so a restart undoes no operator's change, and an edit of the file always acts (ADR 10).
 */
export function planConfiguration(stored: Stored, wanted: readonly ConfiguredBudget[]): BudgetWrite[] {
  const named = new Set(wanted.map((budget) => budget.id));
  const said = wanted.flatMap((budget): BudgetWrite[] => {
    const before = stored.get(budget.id);
    if (before?.configured && same(before.configured, budget)) return [];
    return [put(before, budget, { origin: 'config', configured: budget, changedBy: null })];
  });
  const dropped = [...stored.values()]
    .filter((before) => before.configured && !named.has(before.definition.id))
    .map((before): BudgetWrite => ({ ...written(before), retired: true, configured: null }));
  return [...said, ...dropped];
}

/** A budget as it shall be, with the versions that tell counters and thresholds what is new. */
export function put(
  before: StoredBudget | undefined,
  budget: ConfiguredBudget,
  word: { origin: BudgetOrigin; configured?: ConfiguredBudget | null; changedBy: string | null },
): BudgetWrite {
  const { version, armed } = arm(before, budget);
  const carry =
    before && !before.retired && sameWindows(before.definition, budget) ? before.definition.carry : undefined;
  return {
    definition: { ...budget, limitVersion: version, ...(carry && budget.carryOver ? { carry } : {}) },
    retired: false,
    origin: word.origin,
    configured: word.configured === undefined ? (before?.configured ?? null) : word.configured,
    armed,
    changedBy: word.changedBy,
  };
}

/** Takes a budget out of force. What the configuration said of it stays known, so that the same file does not bring it back. */
export function retire(before: StoredBudget, by: string): BudgetWrite {
  return { ...written(before), retired: true, origin: 'operator', changedBy: by };
}

export function withCarry(before: StoredBudget, carry: NonNullable<BudgetDefinition['carry']>): BudgetWrite {
  return { ...written(before), definition: { ...before.definition, carry } };
}

/** The version of the limit by which thresholds of a budget, or of one instance of a template, are armed. */
export function armedVersion(
  { armed, definition }: Pick<StoredBudget, 'armed' | 'definition'>,
  instance: { id: string; values: Readonly<Record<string, string>> } | undefined,
): number {
  const whole = Math.max(armed.terms, armed.limit);
  if (!instance) return whole;
  const own = armed.instances[instance.id] ?? 0;
  return isExcepted(definition, instance.values) ? Math.max(armed.terms, own || armed.limit) : Math.max(whole, own);
}

function isExcepted(definition: BudgetDefinition, values: Readonly<Record<string, string>>): boolean {
  return (definition.exceptions ?? []).some((e) =>
    (definition.per ?? []).every((key) => e.values[key] === values[key]),
  );
}

function arm(before: StoredBudget | undefined, budget: ConfiguredBudget): { version: number; armed: Armed } {
  if (!before) return { version: 1, armed: { terms: 1, limit: 1, instances: {} } };
  const { definition, armed } = before;
  const anew = before.retired || !same(termsOf(definition), termsOf(budget));
  const limitMoved = anew || definition.limitNanos !== budget.limitNanos;
  const moved = movedExceptions(definition, budget);
  const changed = limitMoved || moved.length > 0;
  const version = definition.limitVersion + (changed ? 1 : 0);
  return {
    version,
    armed: {
      terms: anew ? version : armed.terms,
      limit: limitMoved ? version : armed.limit,
      instances: { ...armed.instances, ...Object.fromEntries(moved.map((id) => [id, version])) },
    },
  };
}

/** What thresholds and stages rest on beside the limit. */
function termsOf(budget: ConfiguredBudget): unknown {
  const { selector, per, window, timeZone, basis, thresholds, stages, carryOver } = budget;
  return [selector, per ?? [], window, timeZone, basis, thresholds, stages ?? [], carryOver ?? null];
}

/** Instances whose own limit was set, changed or taken away. */
function movedExceptions(before: ConfiguredBudget, after: ConfiguredBudget): string[] {
  const limits = (budget: ConfiguredBudget): Map<string, string> =>
    new Map((budget.exceptions ?? []).map((e) => [instanceId(budget.id, e.values), e.limitNanos]));
  const [old, now] = [limits(before), limits(after)];
  return [...new Set([...old.keys(), ...now.keys()])].filter((id) => old.get(id) !== now.get(id));
}

function sameWindows(a: ConfiguredBudget, b: ConfiguredBudget): boolean {
  return a.window === b.window && a.timeZone === b.timeZone;
}

function written({ definition, retired, origin, configured, armed, changedBy }: StoredBudget): BudgetWrite {
  return { definition, retired, origin, configured, armed, changedBy };
}

function same(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}
