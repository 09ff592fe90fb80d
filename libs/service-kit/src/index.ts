export * from './nats-subject-server.js';
export * from './run-service.js';
