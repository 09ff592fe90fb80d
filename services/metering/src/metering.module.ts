import { Logger, type DynamicModule } from '@nestjs/common';
import { Counters } from '@meritorder/counters';
import { connectDatabase, registerHosts } from '@meritorder/ledger-store';
import { followEpoch, followFleet } from '@meritorder/messaging';
import type { ServiceContext } from '@meritorder/service-kit';
import { DecisionExportController } from './adapters/decision-export.controller.js';
import { DecisionsConsumer } from './adapters/decisions.consumer.js';
import { DecisionsController } from './adapters/decisions.controller.js';
import { HardwareEnergyConsumer } from './adapters/hardware-energy.consumer.js';
import { HardwareWork } from './adapters/hardware-work.js';
import { HardwareController } from './adapters/hardware.controller.js';
import { JoinController } from './adapters/join.controller.js';
import { MarginController } from './adapters/margin.controller.js';
import { OutcomesController } from './adapters/outcomes.controller.js';
import { OutcomesWork, WaitingOutcomes } from './adapters/outcomes-work.js';
import { PeriodicWork } from './adapters/periodic.js';
import { PostgresPriceBook } from './adapters/price-book.js';
import { PricesController } from './adapters/prices.controller.js';
import { ReconcileController } from './adapters/reconcile.controller.js';
import { UsageConsumer } from './adapters/usage.consumer.js';
import { METERING, MeteringRuntime } from './metering.runtime.js';

/** The composition root: ports to adapters. */
export async function meteringModule({ config, bus, env }: ServiceContext): Promise<DynamicModule> {
  const log = new Logger('Counters');
  const database = await connectDatabase(
    env['DATABASE_URL'] ?? 'postgres://meritorder@127.0.0.1:5432/meritorder',
    'meritorder-metering',
  );
  const counters = await Counters.connect(env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', {
    onError: (error) => log.warn(`Redis: ${error.message}`),
  });
  const following = new AbortController();
  await followEpoch(bus, (id) => counters.requireEpoch(id), following.signal);
  const runtimeOf: { current?: MeteringRuntime } = {};
  const fleetLog = new Logger('Fleet');
  await followFleet(
    bus,
    config,
    () => runtimeOf.current?.pricesChanged(),
    (message) => fleetLog.warn(message),
    following.signal,
  );
  const prices = new PostgresPriceBook(database, config, new Logger('Prices'));
  await prices.start();
  // Before anything is booked: what is booked of an unknown host is in none of its hours.
  await registerHosts(
    database,
    config.hosts.map(({ id }) => ({ host: id, backends: config.backends.flatMap((b) => (b.host === id ? b.id : [])) })),
    new Date(),
  );
  const runtime = new MeteringRuntime(config, bus, database, counters, prices);
  runtimeOf.current = runtime;
  return {
    module: class MeteringModule {
      async onApplicationShutdown(): Promise<void> {
        following.abort();
        await counters.close();
        await database.destroy();
      }
    },
    providers: [
      { provide: METERING, useValue: runtime },
      UsageConsumer,
      PeriodicWork,
      HardwareEnergyConsumer,
      HardwareWork,
      DecisionsConsumer,
      WaitingOutcomes,
      OutcomesWork,
    ],
    controllers: [
      DecisionExportController,
      DecisionsController,
      HardwareController,
      JoinController,
      MarginController,
      OutcomesController,
      PricesController,
      ReconcileController,
    ],
  };
}
