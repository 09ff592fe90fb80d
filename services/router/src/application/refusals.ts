import type { BudgetDefinition, OrgConfig, Refusal } from '@meritorder/contracts';
import type { BindingBudget } from '@meritorder/counters';
import { nanosToUsd } from '@meritorder/kernel';
import type { Excluded } from '@meritorder/routing-core';
import type { Catalogue } from './ports.js';

export interface BoundCandidate {
  backend: string;
  binding: BindingBudget;
  budget: BudgetDefinition;
  windowEndMs: number | null;
}

/**
 * The refusal when no candidate fits its budgets. *Held* wins over *exhausted*: when one candidate would fit once requests in
 * flight have ended, retrying soon helps.
 */
export function budgetRefusal(candidates: readonly BoundCandidate[], nowMs: number): Refusal {
  const held = candidates.filter((c) => c.binding.kind === 'held');
  const by = (held.length > 0 ? held : candidates).toSorted((a, b) =>
    a.binding.neededNanos < b.binding.neededNanos ? -1 : 1,
  )[0]!;
  const { binding, budget } = by;
  const numbers =
    `limit $${nanosToUsd(binding.limitNanos)}, spent $${nanosToUsd(binding.settledNanos + binding.unconfirmedNanos)}, ` +
    `held $${nanosToUsd(binding.reservedNanos)}, needed $${nanosToUsd(binding.neededNanos)}`;
  const details = {
    budget: binding.budget,
    window: binding.window,
    window_end: by.windowEndMs === null ? null : new Date(by.windowEndMs).toISOString(),
    basis: binding.basis,
    limit_usd: nanosToUsd(binding.limitNanos),
    settled_usd: nanosToUsd(binding.settledNanos),
    unconfirmed_usd: nanosToUsd(binding.unconfirmedNanos),
    held_usd: nanosToUsd(binding.reservedNanos),
    needed_usd: nanosToUsd(binding.neededNanos),
    backends: candidates.map((c) => c.backend),
  };
  if (binding.kind === 'held') {
    const retryAfterSeconds = Math.max(1, Math.ceil((binding.earliestLeaseInMs ?? 1_000) / 1_000));
    return {
      code: 'budget_held',
      message: `The budget ${budget.name} (${binding.window}) is held by requests in flight: ${numbers}. Retry in ${retryAfterSeconds} s.`,
      retryAfterSeconds,
      details,
    };
  }
  const until =
    by.windowEndMs === null
      ? 'it has no next window'
      : `the next window starts ${new Date(by.windowEndMs).toISOString()}`;
  return {
    code: 'budget_exhausted',
    message: `The budget ${budget.name} (${binding.window}) has no room: ${numbers}; ${until}.`,
    ...(by.windowEndMs === null ? {} : { retryAfterSeconds: Math.max(1, Math.ceil((by.windowEndMs - nowMs) / 1_000)) }),
    details,
  };
}

/** The refusal when a name is neither a route nor a backend that the org may use. */
export function routeUnknown(catalogue: Pick<Catalogue, 'routeIds'>, org: OrgConfig, name: string): Refusal {
  const known = (org.routes ?? catalogue.routeIds()).slice(0, 20).join(', ');
  return { code: 'route_unknown', message: `There is no route "${name}"; there are: ${known}.`, param: 'model' };
}

/** The refusal when no candidate passed the filters. A backend that could serve later outweighs one that never can. */
export function exclusionRefusal(excluded: readonly Excluded[]): Refusal {
  const message = excluded.map((e) => `${e.backend.id}: ${e.why}`).join('; ');
  if (excluded.some((e) => e.code === 'unavailable'))
    return { code: 'backend_unavailable', message, retryAfterSeconds: 1 };
  if (excluded.some((e) => e.code === 'above-cap'))
    return { code: 'cost_cap', message, param: 'meritorder.max_cost_usd' };
  if (excluded.some((e) => e.code === 'unpriced')) {
    const backend = excluded.find((e) => e.code === 'unpriced')!.backend.id;
    return {
      code: 'price_missing',
      message: `${message}. Add to backend ${backend}: prices: [{ effectiveFrom: "...", cash: { inputUsdPerMillionTokens: "...", outputUsdPerMillionTokens: "..." } }]`,
    };
  }
  return { code: 'no_able_backend', message };
}
