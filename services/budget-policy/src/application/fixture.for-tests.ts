import type { BudgetDefinition } from '@meritorder/contracts';
import type { BudgetState, StoredBudget } from '@meritorder/ledger-store';

export const MONTH: BudgetDefinition = {
  id: 'org',
  name: 'Org',
  selector: { org: 'acme' },
  window: 'month',
  timeZone: 'Asia/Kolkata',
  limitNanos: '1000',
  limitVersion: 3,
  basis: 'cash',
  thresholds: [1, 0.5, 0.8],
};

export function stored(definition: Partial<BudgetDefinition> = {}, more: Partial<StoredBudget> = {}): StoredBudget {
  const whole = { ...MONTH, ...definition };
  return {
    definition: whole,
    retired: false,
    origin: 'config',
    configured: null,
    armed: { terms: 1, limit: whole.limitVersion, instances: {} },
    changedBy: null,
    changedAt: '2026-10-01T00:00:00.000Z',
    ...more,
  };
}

export const ORG = { budget: 'org', template: null, values: null };

export function state(more: Partial<BudgetState> = {}): BudgetState {
  return {
    ...ORG,
    window: '2026-11',
    limitVersion: 3,
    limitNanos: 1_000n,
    spentNanos: 0n,
    stage: 'none',
    at: null,
    requestsPerMinute: null,
    exhausted: false,
    sequence: 4,
    ...more,
  };
}
