export * from './bus.js';
export * from './cloud-events.js';
export * from './consumer.js';
export * from './topology.js';
export * from './trace-context.js';
export * from './nats-permissions.js';
export * from './epoch.js';
