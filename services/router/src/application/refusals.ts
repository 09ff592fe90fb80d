import type { Kind, OrgConfig, Refusal } from '@meritorder/contracts';
import { spansOrgs, type EnforcedWindow } from '@meritorder/budget-core';
import type { BindingAccount, BindingBudget, BindingOrg, ReserveRefusal } from '@meritorder/counters';
import { nanosToUsd } from '@meritorder/kernel';
import type { Excluded } from '@meritorder/routing-core';
import type { Catalogue } from './ports.js';
import type { Offer } from './work-message.js';

/** Why one candidate was not admitted. `at` is the window that refuses; a provider account or an org at its rate has none. */
export type BoundCandidate =
  | { backend: string; binding: BindingBudget; at: EnforcedWindow }
  | { backend: string; binding: BindingAccount | BindingOrg };
type BoundByBudget = Extract<BoundCandidate, { binding: BindingBudget }>;

/** The refusal when none of the offers was admitted. */
export function offersRefusal(
  { candidates }: ReserveRefusal,
  offers: readonly Pick<Offer, 'candidate' | 'windows'>[],
  nowMs: number,
): Refusal {
  return budgetRefusal(
    candidates.map((binding, i) => {
      const { candidate, windows } = offers[i]!;
      const backend = candidate.backend.id;
      if (binding.kind === 'rate' || binding.kind === 'org-rate') return { backend, binding };
      return { backend, binding, at: windows.find((w) => w.budget.id === binding.budget)! };
    }),
    nowMs,
  );
}

/**
 * The refusal when no candidate fits its budgets. What passes by itself (held, throttled, a rate) wins over what lasts until the
 * window ends: when one candidate would be admitted soon, retrying soon helps.
 */
function budgetRefusal(candidates: readonly BoundCandidate[], nowMs: number): Refusal {
  const passing = candidates
    .map((candidate) => ({ candidate, inMs: passesInMs(candidate.binding) }))
    .filter((c) => c.inMs !== undefined)
    .toSorted((a, b) => a.inMs! - b.inMs!)[0];
  if (passing) {
    const seconds = Math.max(1, Math.ceil(passing.inMs! / 1_000));
    return { ...told(passing.candidate, candidates), retryAfterSeconds: seconds };
  }
  const lasting = candidates.filter((c): c is BoundByBudget => 'at' in c);
  const by = lasting.toSorted((a, b) => (a.binding.neededNanos < b.binding.neededNanos ? -1 : 1))[0] ?? candidates[0]!;
  const endMs = 'at' in by ? by.at.window.endMs : null;
  return {
    ...told(by, candidates),
    ...(endMs === null ? {} : { retryAfterSeconds: Math.max(1, Math.ceil((endMs - nowMs) / 1_000)) }),
  };
}

/** Undefined: it does not pass by itself. */
function passesInMs(binding: BoundCandidate['binding']): number | undefined {
  if (binding.kind === 'held') return binding.earliestLeaseInMs ?? 1_000;
  return 'retryInMs' in binding ? binding.retryInMs : undefined;
}

function told(by: BoundCandidate, all: readonly BoundCandidate[]): Refusal {
  const backends = all.map((c) => c.backend);
  if (!('at' in by)) return by.binding.kind === 'rate' ? accountRefusal(by.binding, backends) : orgRefusal(by.binding);
  const { binding, at } = by;
  const budget = `The budget ${at.budget.name} (${binding.window})`;
  const amounts =
    `limit $${nanosToUsd(binding.limitNanos)}, spent $${nanosToUsd(binding.settledNanos + binding.unconfirmedNanos)}, ` +
    `held $${nanosToUsd(binding.reservedNanos)}, needed $${nanosToUsd(binding.neededNanos)}`;
  // What is spent of a budget that spans orgs is what the others spend.
  const numbers = spansOrgs(at.budget) ? '' : `: ${amounts}`;
  const until =
    at.window.endMs === null
      ? 'it has no next window'
      : `the next window starts ${new Date(at.window.endMs).toISOString()}`;
  const details = budgetDetails(by, backends);
  switch (binding.kind) {
    case 'held': {
      const seconds = Math.max(1, Math.ceil((binding.earliestLeaseInMs ?? 1_000) / 1_000));
      const message = `${budget} is held by requests in flight${numbers}. Retry in ${seconds} s.`;
      return { code: 'budget_held', message, details };
    }
    case 'throttled': {
      const seconds = Math.max(1, Math.ceil((binding.retryInMs ?? 1_000) / 1_000));
      const message = `${budget} is near its limit and admits only so many requests a minute${numbers}. Retry in ${seconds} s.`;
      return { code: 'budget_throttled', message, details };
    }
    case 'stage':
      return binding.stage === 'local-only'
        ? {
            code: 'budget_local_only',
            message: `${budget} admits only local backends now${numbers}; ${until}.`,
            details,
          }
        : {
            code: 'budget_rejecting',
            message: `${budget} admits nothing that costs something now${numbers}; ${until}.`,
            details,
          };
    case 'instances':
      return {
        code: 'budget_instances',
        message: `${budget} would be one more of its template than the ${at.asked.maxInstances} that a window may have; ${until}.`,
        details: { ...details, template: at.charge.template, max_instances: at.asked.maxInstances },
      };
    case 'exhausted':
      return { code: 'budget_exhausted', message: `${budget} has no room${numbers}; ${until}.`, details };
  }
}

function budgetDetails({ binding, at }: BoundByBudget, backends: string[]): Record<string, unknown> {
  return {
    budget: binding.budget,
    window: binding.window,
    window_end: at.window.endMs === null ? null : new Date(at.window.endMs).toISOString(),
    basis: binding.basis,
    ...(spansOrgs(at.budget)
      ? {}
      : {
          limit_usd: nanosToUsd(binding.limitNanos),
          settled_usd: nanosToUsd(binding.settledNanos),
          unconfirmed_usd: nanosToUsd(binding.unconfirmedNanos),
          held_usd: nanosToUsd(binding.reservedNanos),
          needed_usd: nanosToUsd(binding.neededNanos),
        }),
    ...(binding.stage === undefined ? {} : { stage: binding.stage }),
    backends,
  };
}

function accountRefusal(binding: BindingAccount, backends: string[]): Refusal {
  const { account, short, limitPerMinute, asked, retryInMs } = binding;
  const limit = `The account at ${account} is limited to ${limitPerMinute} ${short} a minute`;
  const when =
    retryInMs === undefined
      ? `this request alone has ${asked}`
      : `${asked} more fit in ${Math.max(1, Math.ceil(retryInMs / 1_000))} s`;
  return {
    code: 'account_rate',
    message: `${limit}; ${when}.`,
    details: { account, short, limit_per_minute: limitPerMinute, asked, backends },
  };
}

function orgRefusal({ org, limitPerMinute, retryInMs }: BindingOrg): Refusal {
  return {
    code: 'org_rate',
    message: `The org ${org} is limited to ${limitPerMinute} requests a minute; one more fits in ${Math.max(1, Math.ceil(retryInMs / 1_000))} s.`,
    details: { org, limit_per_minute: limitPerMinute },
  };
}

/** The refusal when a name is neither a route nor a backend that the org may use, nor a model as one provider calls it. */
export function routeUnknown(
  catalogue: Pick<Catalogue, 'routeIds' | 'providersOf'>,
  org: OrgConfig,
  name: string,
): Refusal {
  const known = (org.routes ?? catalogue.routeIds()).slice(0, 20).join(', ');
  const providers = org.routes ? [] : catalogue.providersOf(name);
  const names = providers.map((provider) => `${provider}/${name}`).join(', ');
  const several = names && ` Several providers have that model: name ${names}, or make it an alias of a route.`;
  const message = `There is no route "${name}"; there are: ${known}.${several}`;
  return { code: 'route_unknown', message, param: 'model' };
}

/** The refusal when no backend of the route serves the kind at all. */
export function kindUnsupported(route: string, kind: Kind): Refusal {
  return {
    code: 'kind_unsupported',
    message: `No backend of "${route}" serves ${kind}; one that does has it among its \`kinds\`.`,
    param: 'model',
  };
}

/** The refusal when no candidate passed the filters. A backend that could serve later outweighs one that never can. */
export function exclusionRefusal(excluded: readonly Excluded[]): Refusal {
  const message = excluded.map((e) => `${e.backend.id}: ${e.why}`).join('; ');
  const later = excluded.filter((e) => e.code === 'unavailable' || e.code === 'busy');
  if (later.length > 0)
    return {
      code: later.every((e) => e.quota) ? 'backend_quota' : 'backend_unavailable',
      message,
      retryAfterSeconds: Math.min(...later.map((e) => e.retryAfterSeconds ?? 1)),
    };
  const slow = excluded.filter((e) => e.code === 'too-slow');
  if (slow.length > 0)
    return {
      code: 'latency_ceiling',
      message,
      retryAfterSeconds: Math.min(...slow.map((e) => e.retryAfterSeconds ?? 1)),
      details: { backends: slow.map((e) => e.backend.id) },
    };
  if (excluded.some((e) => e.code === 'above-cap'))
    return { code: 'cost_cap', message, param: 'meritorder.max_cost_usd' };
  if (excluded.some((e) => e.code === 'below-floor')) return { code: 'below_floor', message };
  const unpriced = excluded.find((e) => e.code === 'unpriced' && !e.lacksRate);
  if (unpriced)
    return {
      code: 'price_missing',
      message: `${message}. ${addPrice(unpriced.backend.id, 'inputUsdPerMillionTokens: "...", outputUsdPerMillionTokens: "..."')}`,
    };
  const lacking = excluded.find((e) => e.lacksRate);
  if (lacking) {
    // There is a price, and it is the request that asks for what is not in it: no retry helps.
    const { param, add } = lacking.lacksRate!;
    return { code: 'no_able_backend', message: `${message}. ${addPrice(lacking.backend.id, add)}`, param };
  }
  return { code: 'no_able_backend', message };
}

function addPrice(backend: string, cash: string): string {
  return `Add to backend ${backend}: prices: [{ effectiveFrom: "...", cash: { ${cash} } }]`;
}

export function tierUnknown(catalogue: Pick<Catalogue, 'tierIds'>, org: OrgConfig, tier: string | undefined): Refusal {
  const known = catalogue.tierIds(org.id).slice(0, 20).join(', ');
  return {
    code: 'tier_unknown',
    message: `The org has no tier "${tier ?? ''}"; it has: ${known}.`,
    param: 'metadata.tier',
  };
}
