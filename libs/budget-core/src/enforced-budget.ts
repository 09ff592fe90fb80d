import {
  DEFAULT_MAX_INSTANCES,
  type BudgetDefinition,
  type SelectorKey,
  type WindowCharge,
} from '@meritorder/contracts';
import { canonicalJson, sha256Hex } from '@meritorder/kernel';
import { limitIn } from './carry-over.js';
import type { CandidateWindow } from './reservation.js';
import { stageAmounts } from './stages.js';
import { windowAt, type BudgetWindow } from './windows.js';

export type InstanceValues = Readonly<Partial<Record<SelectorKey, string>>>;

/** A budget that money is counted on: a definition without `per`, or one instance of a template. */
export interface EnforcedBudget {
  id: string;
  /** For people; of an instance with its values. */
  name: string;
  /** Of an instance: the template's, with the limit that holds for these values. */
  definition: BudgetDefinition;
  instance?: { template: string; values: InstanceValues };
}

/** A budget in the window that an instant is in: made once a window, so that a decision only looks it up. */
export interface EnforcedWindow {
  budget: EnforcedBudget;
  window: BudgetWindow;
  /** For the counters. */
  asked: CandidateWindow;
  /** For the books. */
  charge: WindowCharge;
}

/** `<template>--<16 hex digits of what the values hash to>`: a slug, equal for equal values. */
export function instanceId(template: string, values: InstanceValues): string {
  return `${template}--${sha256Hex(canonicalJson(values), 16)}`;
}

/** @param values of an instance: one for each attribute of `per`. */
export function enforce(definition: BudgetDefinition, values?: InstanceValues): EnforcedBudget {
  if (!values || !definition.per) return { id: definition.id, name: definition.name, definition };
  const keys = definition.per;
  const own = definition.exceptions?.find((e) => keys.every((key) => e.values[key] === values[key]));
  return {
    id: instanceId(definition.id, values),
    name: `${definition.name} (${keys.map((key) => `${key} ${values[key]}`).join(', ')})`,
    definition: { ...definition, limitNanos: own?.limitNanos ?? definition.limitNanos },
    instance: { template: definition.id, values },
  };
}

/** Whether several orgs may spend it: its amounts say what others spend, so no org is told them (invariant 10). */
export function spansOrgs({ definition, instance }: EnforcedBudget): boolean {
  return (definition.selector.org ?? instance?.values.org) === undefined;
}

const inForce = new WeakMap<EnforcedBudget, EnforcedWindow>();

/** The budget's window at an instant. A pure memo by budget, since windows change rarely. */
export function enforcedAt(budget: EnforcedBudget, nowMs: number): EnforcedWindow {
  const known = inForce.get(budget);
  if (known && contains(known.window, nowMs)) return known;
  const { definition } = budget;
  const window = windowAt(definition.window, definition.timeZone, nowMs);
  const { limitNanos, version } = limitIn(definition, window.id);
  const asked: CandidateWindow = {
    budget: budget.id,
    window: window.id,
    basis: definition.basis,
    limitNanos,
    limitVersion: version,
    stages: stageAmounts(definition.stages, limitNanos),
    maxInstances: budget.instance ? (definition.maxInstances ?? DEFAULT_MAX_INSTANCES) : undefined,
  };
  const charge: WindowCharge = {
    budget: budget.id,
    window: window.id,
    basis: definition.basis,
    ...(budget.instance ? { template: budget.instance.template, values: { ...budget.instance.values } } : {}),
  };
  const made = { budget, window, asked, charge };
  inForce.set(budget, made);
  return made;
}

interface WindowsOfList {
  windows: readonly EnforcedWindow[];
  /** Until the first of them ends. */
  fromMs: number;
  untilMs: number;
}
const ofLists = new WeakMap<readonly EnforcedBudget[], WindowsOfList>();

/** `enforcedAt` of each. A pure memo by list, for callers that ask again and again for one. */
export function allEnforcedAt(budgets: readonly EnforcedBudget[], nowMs: number): readonly EnforcedWindow[] {
  const known = ofLists.get(budgets);
  if (known !== undefined && known.fromMs <= nowMs && nowMs < known.untilMs) return known.windows;
  const windows = budgets.map((budget) => enforcedAt(budget, nowMs));
  ofLists.set(budgets, {
    windows,
    fromMs: Math.max(...windows.map((w) => w.window.startMs ?? -Infinity)),
    untilMs: Math.min(...windows.map((w) => w.window.endMs ?? Infinity)),
  });
  return windows;
}

function contains(window: BudgetWindow, nowMs: number): boolean {
  return window.startMs === null || (window.startMs <= nowMs && nowMs < window.endMs!);
}
