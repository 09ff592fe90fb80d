import { Logger, type DynamicModule } from '@nestjs/common';
import { BUCKETS } from '@meritorder/contracts';
import { Counters } from '@meritorder/counters';
import { applyBudgets, connectDatabase } from '@meritorder/ledger-store';
import { openBucket, putIfChanged } from '@meritorder/messaging';
import type { ServiceContext } from '@meritorder/service-kit';
import { EpochKeeper } from './adapters/epoch-keeper.js';
import { OrgDelivery } from './adapters/org-delivery.js';
import { ThresholdWatch } from './adapters/threshold-watch.js';
import { budgetFromConfig } from './application/budgets-from-config.js';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from './budget-policy.runtime.js';

/** The composition root: ports to adapters. */
export async function budgetPolicyModule({ config, bus, env, readiness }: ServiceContext): Promise<DynamicModule> {
  const log = new Logger('Counters');
  const database = await connectDatabase(
    env['DATABASE_URL'] ?? 'postgres://meritorder@127.0.0.1:5432/meritorder',
    'meritorder-budget-policy',
  );
  const counters = await Counters.connect(env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', {
    onError: (error) => log.warn(`Redis: ${error.message}`),
  });
  const inForce = await applyBudgets(database, config.budgets.map(budgetFromConfig));
  const bucket = await openBucket(bus, BUCKETS.budgets.name);
  for (const budget of inForce) await putIfChanged(bucket, budget.id, JSON.stringify(budget));
  const runtime: BudgetPolicyRuntime = {
    config,
    bus,
    database,
    counters,
    budgets: new Map(inForce.map((b) => [b.id, b])),
  };
  readiness(() => (counters.openEpochId() === undefined ? 'the budget counters are being rebuilt' : undefined));
  return {
    module: class BudgetPolicyModule {
      async onApplicationShutdown(): Promise<void> {
        await counters.close();
        await database.destroy();
      }
    },
    providers: [{ provide: BUDGET_POLICY, useValue: runtime }, EpochKeeper, ThresholdWatch, OrgDelivery],
  };
}
