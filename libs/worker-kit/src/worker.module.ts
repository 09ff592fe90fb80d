import type { DynamicModule } from '@nestjs/common';
import type { ServiceContext } from '@meritorder/service-kit';
import type { BackendConfig } from '@meritorder/contracts';
import { systemClock } from '@meritorder/kernel';
import { Batches } from './adapters/batch/batches.js';
import { credentialsFromEnvironment } from './adapters/credentials-from-environment.js';
import { providerWires } from './adapters/provider-wires.js';
import { CredentialPools } from './application/credentialed-upstream.js';
import { WORKER_OPTIONS, WorkerController, type Engines, type WorkerOptions } from './worker.controller.js';

/**
 * The composition root that both workers share; they differ in which backends they serve.
 * @throws Error naming the variable of a secret that is configured but not there, or a kind that a backend cannot be asked for.
 */
export function workerModule(
  name: WorkerOptions['name'],
  { config, bus, env }: ServiceContext,
  backends: BackendConfig[],
  engines?: Engines,
): DynamicModule {
  const credentialsOf = (backend: BackendConfig) => credentialsFromEnvironment(backend, env);
  const pools = new CredentialPools(backends, credentialsOf, () => systemClock.nowMs());
  const { wires, uncredentialed, close } = providerWires(backends, pools);
  const batches: WorkerOptions['batches'] = backends.some((b) => b.batch)
    ? (of) => new Batches({ ...of, bus, backends, wires: uncredentialed, pools, credentialsOf })
    : undefined;
  const options: WorkerOptions = {
    name,
    bus,
    config,
    backends,
    wires,
    close,
    ...(batches ? { batches } : {}),
    ...(engines ? { engines } : {}),
  };
  return {
    module: class WorkerModule {},
    providers: [{ provide: WORKER_OPTIONS, useValue: options }, WorkerController],
  };
}
