import type { MeritorderConfig } from '@meritorder/contracts';
import { hostInboxPrefix, secretFromEnvironment, type Bus } from '@meritorder/messaging';
import { runService, type ServiceContext } from '@meritorder/service-kit';
import { credentialsFromEnvironment, workerModule } from '@meritorder/worker-kit';
import { ENGINES, EngineReader, EngineWatch, HttpEngines } from './adapters/engine-watch.js';
import { FLEET_JOIN, FleetJoin, FleetJoinWatch } from './adapters/fleet-join.js';
import { POWER_OPTIONS, PowerMetering, type MeteredHost, type PowerOptions } from './adapters/power-metering.js';

/** Of a host that joins by itself: what it needs of the configuration comes from the centre. */
let joined: { fleet: FleetJoin; host: MeteredHost } | undefined;
const reader = new EngineReader();

async function join(bus: Bus, env: NodeJS.ProcessEnv): Promise<MeritorderConfig> {
  const urls = env['MERITORDER_ENGINES']!.split(',').map((url) => url.trim());
  const wrong = urls.find((url) => !/^https?:$/.test(URL.parse(url)?.protocol ?? ''));
  if (wrong !== undefined) throw new Error(`MERITORDER_ENGINES: "${wrong}" is not an http URL`);
  const fleet = new FleetJoin(bus, hostOf(env), urls, reader, secretFromEnvironment('MERITORDER_ENGINE_KEY', env));
  const { backends, limits, host } = await fleet.joinFirst();
  joined = { fleet, host };
  return {
    version: 1,
    orgs: [],
    backends,
    routes: [],
    tiers: [],
    budgets: [],
    hosts: [],
    joins: [],
    accounts: [],
    exchangeRates: [],
    nats: { nkeys: {} },
    gateway: { corsOrigins: [] },
    limits,
  };
}

function hostOf(env: NodeJS.ProcessEnv): string {
  const host = env['MERITORDER_HOST'];
  if (!host) throw new Error('set MERITORDER_HOST to the id of this host, as it is in the configuration');
  return host;
}

/** A host of the configuration that this worker has a copy of. @throws Error naming those that it has. */
function configuredHost({ config }: ServiceContext, env: NodeJS.ProcessEnv): MeteredHost {
  const hosts = [...new Set(config.backends.flatMap((b) => b.host ?? []))];
  const id = env['MERITORDER_HOST'];
  if (!id || !hosts.includes(id))
    throw new Error(
      `set MERITORDER_HOST to the host of this worker; the configuration has: ${hosts.join(', ') || 'none'}`,
    );
  const host = config.hosts.find((h) => h.id === id);
  return { id, gpus: host?.gpus ?? 1, meters: host?.power?.meters ?? [] };
}

/** Runs on a GPU host, beside its engines: those of MERITORDER_ENGINES, or of the configuration's backends of MERITORDER_HOST. */
await runService({
  name: 'local-worker',
  inboxPrefix: (env) => hostInboxPrefix(env['MERITORDER_HOST'] ?? ''),
  ...(process.env['MERITORDER_ENGINES'] ? { config: join } : {}),
  module: (context) => {
    const host = joined?.host ?? configuredHost(context, context.env);
    const backends = context.config.backends.filter((b) => b.host === host.id);
    const engines = new HttpEngines(backends, (b) => credentialsFromEnvironment(b, context.env)[0]?.apiKey, reader);
    const worker = workerModule('local-worker', context, backends, engines);
    const power: PowerOptions = { bus: context.bus, host };
    return {
      ...worker,
      providers: [
        ...(worker.providers ?? []),
        { provide: POWER_OPTIONS, useValue: power },
        PowerMetering,
        { provide: ENGINES, useValue: engines },
        EngineWatch,
        ...(joined ? [{ provide: FLEET_JOIN, useValue: joined.fleet }, FleetJoinWatch] : []),
      ],
    };
  },
});
