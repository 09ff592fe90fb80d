import type { ExclusionCode } from '@meritorder/routing-core';
import type { Refused } from '../money/simulated-budgets.js';

/** What a caller is told when no candidate passed the filters; one that could serve later outweighs one that never can. */
export function exclusionRefusal(codes: readonly ExclusionCode[]): string {
  const has = (code: ExclusionCode): boolean => codes.includes(code);
  if (has('unavailable') || has('busy')) return 'backend_unavailable';
  if (has('too-slow')) return 'latency_ceiling';
  if (has('above-cap')) return 'cost_cap';
  if (has('below-floor')) return 'below_floor';
  return has('unpriced') ? 'price_missing' : 'no_able_backend';
}

/** What a caller is told when no candidate fits its budgets: what passes by itself wins over what lasts. */
export function budgetRefusal(refused: Refused): string {
  const passing = refused.find(
    ({ kind }) => kind === 'held' || kind === 'throttled' || kind === 'rate' || kind === 'org-rate',
  );
  const { kind, detail } = passing ?? refused[0]!;
  switch (kind) {
    case 'held':
      return 'budget_held';
    case 'throttled':
      return 'budget_throttled';
    case 'org-rate':
      return 'org_rate';
    case 'rate':
      return 'account_rate';
    case 'stage':
      return detail === 'local-only' ? 'budget_local_only' : 'budget_rejecting';
    case 'instances':
      return 'budget_instances';
    default:
      return 'budget_exhausted';
  }
}
