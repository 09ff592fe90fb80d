import type { HedgingConfig } from '@meritorder/contracts';
import {
  earnHedge,
  emptyHedgeBudget,
  HEDGE_LIMITS,
  returnHedge,
  spendHedge,
  type HedgeBudget,
  type HedgeLimits,
} from '@meritorder/fleet-core';
import type { Clock } from '@meritorder/kernel';
import { meter } from '@meritorder/telemetry';
import type { Hedges, HedgeScope } from '../application/ports.js';

/** This router's own hedges: with many routers each has its share of the requests, and so of the hedges. As many budgets as routes x tiers. */
export class HedgeTokens implements Hedges {
  private readonly budgets = new Map<string, HedgeBudget>();
  private readonly counter = meter().createCounter('meritorder_hedges', {
    description: 'Second calls of requests whose first showed no token in time, by route and what became of them',
  });

  constructor(private readonly clock: Clock) {}

  earn(scope: HedgeScope): void {
    this.change(scope, (budget, limits) => earnHedge(budget, this.clock.nowMs(), limits));
  }

  spend(scope: HedgeScope, expectedUsd: number): boolean {
    return this.change(scope, (budget) => spendHedge(budget, expectedUsd));
  }

  giveBack(scope: HedgeScope, expectedUsd: number): void {
    this.change(scope, (budget, limits) => returnHedge(budget, expectedUsd, limits));
  }

  count({ route }: HedgeScope, event: 'started' | 'won' | 'lost'): void {
    this.counter.add(1, { route, event });
  }

  private change(
    { route, tier, limits: settings }: HedgeScope,
    by: (budget: HedgeBudget, limits: HedgeLimits) => HedgeBudget | undefined,
  ): boolean {
    const limits = limitsOf(settings);
    const key = JSON.stringify([route, tier]);
    const changed = by(this.budgets.get(key) ?? emptyHedgeBudget(this.clock.nowMs(), limits), limits);
    if (changed) this.budgets.set(key, changed);
    return changed !== undefined;
  }
}

function limitsOf({ requestShare, usdPerHour }: Pick<HedgingConfig, 'requestShare' | 'usdPerHour'>): HedgeLimits {
  return { shareOfRequests: requestShare, reserve: HEDGE_LIMITS.reserve, usdPerHour: Number(usdPerHour) };
}
