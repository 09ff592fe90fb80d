export * from './invoice.js';
export * from './nats-config.js';
export * from './nats-nkey.js';
