export * from './worker.module.js';
export type { Engines } from './worker.controller.js';
