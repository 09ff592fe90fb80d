import { budgetOfAllocation, budgetOfConfig, windowAt } from '@meritorder/budget-core';
import type { MeritorderConfig } from '@meritorder/contracts';
import type { Workload } from '../workload/workload.js';
import { TAGS_OF_QUALITY, type QualityTable } from './scenario.js';

/** Of a window: how much of it may come after the last request before that is worth a word. */
const TELLING_SHARE = 0.05;

/** What of a configuration a run does not go through, or takes for granted: a sentence each, for people. */
export function leftOut(config: MeritorderConfig, { atMs }: Workload): string[] {
  return [
    ...hedging(config),
    ...replicas(config),
    ...pacedBeyond(config, atMs[atMs.length - 1]!),
    ...carriedBefore(config, atMs[0]!),
  ];
}

/** What a table of qualities says of requests that are not there: a slip would otherwise be a run without it. */
export function unmatchedQuality(
  table: QualityTable,
  configs: readonly MeritorderConfig[],
  workload: Workload,
): string[] {
  const known = new Set(['*']);
  for (const org of configs.flatMap((config) => config.orgs)) known.add(`tier=${org.defaultTier}`);
  for (const { attributes } of workload.profiles)
    for (const key of TAGS_OF_QUALITY) known.add(`${key}=${attributes[key]}`);
  const unmatched = [...new Set(Object.values(table).flatMap((of) => Object.keys(of)))].filter(
    (tag) => !known.has(tag),
  );
  return unmatched.length === 0 ? [] : [`the table of qualities names what no request is: ${unmatched.join(', ')}.`];
}

function hedging({ routes, tiers }: MeritorderConfig): string[] {
  const of = [...routes, ...tiers].flatMap(({ id, hedging: hedges }) => (hedges ? [id] : []));
  return of.length === 0
    ? []
    : [
        `hedging of ${of.join(', ')} is left out: nothing is asked twice, so neither what that costs nor what it saves is here.`,
      ];
}

function replicas({ routes, backends }: MeritorderConfig): string[] {
  const modelOf = new Map(backends.flatMap((b) => (b.kind === 'local' ? [[b.id, `${b.provider}/${b.model}`]] : [])));
  const of = routes.filter((route) => {
    const models = route.backends.flatMap((id) => modelOf.get(id) ?? []);
    return new Set(models).size < models.length;
  });
  return of.length === 0
    ? []
    : [
        `replicas of ${of.map(({ id }) => id).join(', ')} are chosen by their load alone: which of them has a prompt warm is left out.`,
      ];
}

function pacedBeyond(config: MeritorderConfig, lastMs: number): string[] {
  const beyond = budgetsOf(config).flatMap(({ id, window, timeZone, pacing }) => {
    const { startMs, endMs } = windowAt(window, timeZone, lastMs);
    if (pacing === 'off' || startMs === null || endMs === null) return [];
    return endMs - lastMs > TELLING_SHARE * (endMs - startMs) ? [id] : [];
  });
  return beyond.length === 0
    ? []
    : [
        `windows of ${beyond.join(', ')} go on after the last request: they are paced as if requests went on as before, and have money left for those.`,
      ];
}

function carriedBefore(config: MeritorderConfig, firstMs: number): string[] {
  const of = budgetsOf(config).flatMap(({ id, carryOver }) => (carryOver ? [id] : []));
  const first = new Date(firstMs).toISOString().slice(0, 10);
  return of.length === 0
    ? []
    : [`what was carried over into windows that were there on ${first} is not known: ${of.join(', ')}.`];
}

function budgetsOf({ budgets, accounts }: MeritorderConfig) {
  return [...budgets.map(budgetOfConfig), ...accounts.flatMap((account) => budgetOfAllocation(account) ?? [])];
}
