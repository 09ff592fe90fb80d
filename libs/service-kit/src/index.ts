export { answerHealth, type HealthChecks } from './health-server.js';
export * from './nats-subject-server.js';
export * from './run-service.js';
