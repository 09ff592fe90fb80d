export * from './keys/index.js';
export * from './issuing/key-issuing.js';
export * from './idempotency-store.js';
export * from './rate-limits.js';
export * from './response-store.js';
