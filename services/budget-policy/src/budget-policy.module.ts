import { Logger, type DynamicModule } from '@nestjs/common';
import { Counters } from '@meritorder/counters';
import { connectDatabase } from '@meritorder/ledger-store';
import type { ServiceContext } from '@meritorder/service-kit';
import { BudgetBook } from './adapters/budget-book.js';
import { BudgetBucket } from './adapters/budget-bucket.nats.js';
import { BudgetWatch } from './adapters/budget-watch.js';
import { BudgetsController } from './adapters/budgets.controller.js';
import { CarryKeeper } from './adapters/carry-keeper.js';
import { DriftKeeper } from './adapters/drift-keeper.js';
import { EpochKeeper } from './adapters/epoch-keeper.js';
import { LagWatch } from './adapters/lag-watch.js';
import { OrgDelivery } from './adapters/org-delivery.js';
import { OutboxRelay } from './adapters/outbox-relay.js';
import { PacingController } from './adapters/pacing.controller.js';
import { PacingKeeper } from './adapters/pacing-keeper.js';
import { PolicyBucket } from './adapters/policy-bucket.nats.js';
import { BUDGET_POLICY, BudgetPolicyRuntime } from './budget-policy.runtime.js';

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
  const bucket = await BudgetBucket.open(bus);
  const policies = await PolicyBucket.open(bus);
  const runtime = new BudgetPolicyRuntime(
    config,
    bus,
    database,
    counters,
    new BudgetBook(database, counters, bucket, config),
    secondsOf(env, 'RECONCILE_EVERY_SECONDS', 30) * 1_000,
  );
  readiness(() => (counters.openEpochId() === undefined ? 'the budget counters are being rebuilt' : undefined));
  readiness(() => runtime.failing());
  return {
    module: class BudgetPolicyModule {
      async onApplicationShutdown(): Promise<void> {
        bucket.close();
        policies.close();
        await counters.close();
        await database.destroy();
      }
    },
    providers: [
      { provide: BUDGET_POLICY, useValue: runtime },
      BudgetWatch,
      CarryKeeper,
      DriftKeeper,
      EpochKeeper,
      LagWatch,
      OrgDelivery,
      OutboxRelay,
      PacingKeeper,
      { provide: PolicyBucket, useValue: policies },
    ],
    controllers: [BudgetsController, PacingController],
  };
}

/** @throws Error with one line. */
function secondsOf(env: NodeJS.ProcessEnv, name: string, otherwise: number): number {
  const seconds = Number(env[name] ?? otherwise);
  if (!(seconds > 0)) throw new Error(`${name} must be a number of seconds above zero, not "${env[name]}"`);
  return seconds;
}
