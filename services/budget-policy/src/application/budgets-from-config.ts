import type { BudgetConfig, BudgetDefinition } from '@meritorder/contracts';
import { usdToNanos } from '@meritorder/kernel';

/** A configured budget as routers hold it; its limit version is given when it is stored. */
export function budgetFromConfig(config: BudgetConfig): Omit<BudgetDefinition, 'limitVersion'> {
  return {
    id: config.id,
    name: config.name ?? config.id,
    selector: config.selector,
    window: config.window,
    timeZone: config.timeZone,
    limitNanos: usdToNanos(config.limitUsd).toString(),
    basis: config.basis,
    thresholds: config.thresholds,
  };
}
