import type { BudgetDefinition, MeritorderConfig } from '@meritorder/contracts';
import type { Counters } from '@meritorder/counters';
import type { Bus } from '@meritorder/messaging';
import type { DataSource } from 'typeorm';

export const BUDGET_POLICY = Symbol('BUDGET_POLICY');

export interface BudgetPolicyRuntime {
  config: MeritorderConfig;
  bus: Bus;
  database: DataSource;
  counters: Counters;
  /** Budgets in force, by id. */
  budgets: ReadonlyMap<string, BudgetDefinition>;
}
