import type { DynamicModule } from '@nestjs/common';
import { secretFromEnvironment } from '@meritorder/messaging';
import type { ServiceContext } from '@meritorder/service-kit';
import type { BackendConfig } from '@meritorder/contracts';
import { OPENAI_EMBEDDINGS, OpenAiUpstream } from './adapters/openai-upstream.js';
import { WORKER_OPTIONS, WorkerController, type Engines, type WorkerOptions } from './worker.controller.js';

/**
 * The composition root that both workers share; they differ in which backends they serve.
 * @throws Error naming the variable of an API key that is configured but not there.
 */
export function workerModule(
  name: WorkerOptions['name'],
  { config, bus, env }: ServiceContext,
  backends: BackendConfig[],
  engines?: Engines,
): DynamicModule {
  const keys = new Map<string, string>();
  for (const backend of backends) {
    if (!backend.apiKeyEnv) continue;
    const key = secretFromEnvironment(backend.apiKeyEnv, env);
    if (!key)
      throw new Error(
        `the backend ${backend.id} needs ${backend.apiKeyEnv} or ${backend.apiKeyEnv}_FILE in the environment`,
      );
    keys.set(backend.id, key);
  }
  const keyOf = (backend: BackendConfig): string | undefined => keys.get(backend.id);
  const openai = { chat: new OpenAiUpstream(keyOf), embeddings: new OpenAiUpstream(keyOf, OPENAI_EMBEDDINGS) };
  const options: WorkerOptions = {
    name,
    bus,
    config,
    backends,
    wires: { openai },
    close: async () => void (await Promise.all(Object.values(openai).map((upstream) => upstream.close()))),
    ...(engines ? { engines } : {}),
  };
  return {
    module: class WorkerModule {},
    providers: [{ provide: WORKER_OPTIONS, useValue: options }, WorkerController],
  };
}
