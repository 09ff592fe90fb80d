import type { DynamicModule } from '@nestjs/common';
import type { ServiceContext } from '@meritorder/service-kit';
import type { BackendConfig } from '@meritorder/contracts';
import { systemClock } from '@meritorder/kernel';
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
  const pools = new CredentialPools(
    backends,
    (backend) => credentialsFromEnvironment(backend, env),
    () => systemClock.nowMs(),
  );
  const { wires, close } = providerWires(backends, pools);
  const options: WorkerOptions = { name, bus, config, backends, wires, close, ...(engines ? { engines } : {}) };
  return {
    module: class WorkerModule {},
    providers: [{ provide: WORKER_OPTIONS, useValue: options }, WorkerController],
  };
}
