export * from './invoice.js';
export * from './nats-config.js';
