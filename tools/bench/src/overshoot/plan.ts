import { nanosToUsd, seededRandom, type Nanos } from '@meritorder/kernel';
import type { BudgetConfig } from '@meritorder/contracts';

export interface PlannedBudget extends Pick<BudgetConfig, 'id' | 'selector' | 'window' | 'timeZone' | 'basis'> {
  limitNanos: Nanos;
}

export interface PlannedRequest {
  department: string;
  customer: string;
  key: string;
  prompt: string;
  maxTokens: number;
  stream: boolean;
}

export interface Plan {
  budgets: PlannedBudget[];
  departments: string[];
  keys: string[];
  /** An endless mix of requests, the same for the same seed. */
  next(): PlannedRequest;
}

export const ORG = 'acme';
export const MODELS = {
  small: { input: '1', output: '4' },
  large: { input: '3', output: '12' },
} as const;

/** What a request of this mix costs on the small model: 12 tokens in, 40 out. */
const USUAL_COST_NANOS = 172_000n;
const ZONES = ['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'America/New_York', 'Australia/Lord_Howe'];
const CUSTOMERS = 32;
const KEYS = 8;

/**
 * Caps at every level, so tight that the bounds of what is in flight alone reach them, and whose sums over a level differ, so
 * that each level binds some of the time. Windows of all kinds, in zones with half-hour offsets too.
 * @param requests how many requests the run is expected to make; the org's cap pays for six in ten.
 */
export function planBudgets(requests: number, seed: number): Plan {
  const random = seededRandom(seed);
  const total = (BigInt(Math.max(20, requests)) * USUAL_COST_NANOS * 6n) / 10n;
  const share = (percent: bigint, of: number): Nanos => (total * percent) / 100n / BigInt(of);
  const departments = ['engineering', 'research', 'sales', 'support'];
  const customers = Array.from({ length: CUSTOMERS }, (_, i) => `customer-${i}`);
  const keys = Array.from({ length: KEYS }, (_, i) => `key-${i}`);
  const budget = (
    id: string,
    selector: Record<string, string>,
    window: PlannedBudget['window'],
    limitNanos: Nanos,
    more: Partial<PlannedBudget> = {},
  ): PlannedBudget => ({
    id,
    selector: { org: ORG, ...selector },
    window,
    timeZone: 'UTC',
    basis: 'cash',
    limitNanos,
    ...more,
  });
  const budgets = [
    budget('org-month', {}, 'month', total, { timeZone: 'Europe/Berlin' }),
    budget('org-full-total', {}, 'total', share(105n, 1), { basis: 'full' }),
    budget('small-week', { model: 'small' }, 'week', share(85n, 1), { timeZone: 'America/New_York' }),
    ...departments.map((d) => budget(`department-${d}`, { department: d }, 'week', share(110n, departments.length))),
    ...customers.map((c, i) =>
      budget(c, { customer: c }, 'day', share(125n, CUSTOMERS), { timeZone: ZONES[i % ZONES.length]! }),
    ),
    ...keys.map((k) => budget(k, { key: k }, 'total', share(120n, KEYS))),
  ];
  // The first of a list are asked for more often, so that they run dry first.
  const pick = <T>(from: readonly T[]): T => from[Math.floor(from.length * random() ** 1.6)]!;
  return {
    budgets,
    departments,
    keys,
    next: () => ({
      department: pick(departments),
      customer: pick(customers),
      key: pick(keys),
      prompt: `Write ${20 + Math.floor(random() * 40)} words.`,
      maxTokens: 64 + Math.floor(random() * 192),
      stream: random() < 0.25,
    }),
  };
}

/** As the configuration file has it. */
export function budgetConfig(budget: PlannedBudget): object {
  const { limitNanos, ...rest } = budget;
  return { ...rest, limitUsd: nanosToUsd(limitNanos) };
}
