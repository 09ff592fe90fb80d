import { createHash } from 'node:crypto';
import { Logger, type DynamicModule } from '@nestjs/common';
import { subjects } from '@meritorder/contracts';
import { Counters } from '@meritorder/counters';
import { connectDatabase, putOutbox, savePriceVersions } from '@meritorder/ledger-store';
import { priceVersionsFromConfig } from '@meritorder/pricing-core';
import type { ServiceContext } from '@meritorder/service-kit';
import { PeriodicWork } from './adapters/periodic.js';
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
  const versions = config.backends.flatMap((b) =>
    priceVersionsFromConfig(b, (text) => createHash('sha256').update(text).digest('hex')),
  );
  const fresh = await savePriceVersions(database, versions);
  await putOutbox(
    database.manager,
    'metering',
    fresh.map((version) => ({
      type: 'price.version-published.v1' as const,
      subject: subjects.priceVersionPublished(),
      messageId: version.id,
      body: { version, publishedAt: new Date().toISOString() },
      occurredAt: new Date().toISOString(),
    })),
  );
  const runtime = new MeteringRuntime(config, bus, database, counters, new Set(versions.map((v) => v.id)));
  return {
    module: class MeteringModule {
      async onApplicationShutdown(): Promise<void> {
        await counters.close();
        await database.destroy();
      }
    },
    providers: [{ provide: METERING, useValue: runtime }, UsageConsumer, PeriodicWork],
    controllers: [ReconcileController],
  };
}
