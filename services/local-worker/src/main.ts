import { hostInboxPrefix } from '@meritorder/messaging';
import { runService } from '@meritorder/service-kit';
import { credentialsFromEnvironment, workerModule } from '@meritorder/worker-kit';
import { ENGINES, EngineWatch, HttpEngines } from './adapters/engine-watch.js';
import { POWER_OPTIONS, PowerMetering, type PowerOptions } from './adapters/power-metering.js';

/** Runs on a GPU host, beside its engine: every backend of kind `local` whose host is MERITORDER_HOST. */
await runService({
  name: 'local-worker',
  inboxPrefix: (env) => hostInboxPrefix(env['MERITORDER_HOST'] ?? ''),
  module: (context) => {
    const host = context.env['MERITORDER_HOST'];
    const hosts = [...new Set(context.config.backends.flatMap((b) => b.host ?? []))];
    if (!host || !hosts.includes(host)) {
      throw new Error(
        `set MERITORDER_HOST to the host of this worker; the configuration has: ${hosts.join(', ') || 'none'}`,
      );
    }
    const backends = context.config.backends.filter((b) => b.host === host);
    const engines = new HttpEngines(backends, (b) => credentialsFromEnvironment(b, context.env)[0]?.apiKey);
    const worker = workerModule('local-worker', context, backends, engines);
    const power: PowerOptions = { bus: context.bus, host: context.config.hosts.find((h) => h.id === host) };
    return {
      ...worker,
      providers: [
        ...(worker.providers ?? []),
        { provide: POWER_OPTIONS, useValue: power },
        PowerMetering,
        { provide: ENGINES, useValue: engines },
        EngineWatch,
      ],
    };
  },
});
