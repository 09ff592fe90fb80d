export * from './worker.module.js';
export { WorkerController, type Engines } from './worker.controller.js';
export { credentialsFromEnvironment } from './adapters/credentials-from-environment.js';
