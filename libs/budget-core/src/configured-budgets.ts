import { allocationId, type AccountConfig, type BudgetConfig, type BudgetDefinition } from '@meritorder/contracts';
import { usdToNanos } from '@meritorder/kernel';

/** Limits get their version where they are stored. */
export type ConfiguredBudget = Omit<BudgetDefinition, 'limitVersion'>;

/** A budget in people's units, as routers hold it. */
export function budgetOfConfig(config: BudgetConfig): ConfiguredBudget {
  const { id, name, limitUsd, exceptions, ...same } = config;
  return {
    ...given(same),
    id,
    name: name ?? id,
    limitNanos: usdToNanos(limitUsd).toString(),
    ...(exceptions === undefined
      ? {}
      : { exceptions: exceptions.map((e) => ({ values: e.values, limitNanos: usdToNanos(e.limitUsd).toString() })) }),
  };
}

/** What an account may be used for: a cash budget of the provider across all orgs. */
export function budgetOfAllocation(account: AccountConfig): ConfiguredBudget | undefined {
  const { allocation, provider } = account;
  if (!allocation) return undefined;
  return {
    id: allocationId(provider),
    name: `The account at ${provider}`,
    selector: { provider },
    window: allocation.window,
    timeZone: allocation.timeZone,
    limitNanos: usdToNanos(allocation.limitUsd).toString(),
    basis: 'cash',
    thresholds: [0.5, 0.8, 1],
    strictness: 'strict',
    stages:
      allocation.throttleFrom === undefined
        ? []
        : [
            {
              at: allocation.throttleFrom,
              action: 'throttle',
              requestsPerMinute: allocation.throttleRequestsPerMinute,
            },
          ],
  };
}

/** Without the fields that are undefined. */
function given<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
