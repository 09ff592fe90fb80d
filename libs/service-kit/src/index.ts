export { answerHealth, type HealthChecks } from './health-server.js';
export * from './nats-subject-server.js';
export * from './run-service.js';
export * from './repeating.js';
export * from './repeating-work.js';
