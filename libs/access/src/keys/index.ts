export * from './configured-keys.js';
export * from './key-ring.js';
export * from './secrets.js';
