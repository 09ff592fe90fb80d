export * from './assert.js';
export * from './awake-clock.js';
export * from './canonical-json.js';
export * from './clock.js';
export * from './hash.js';
export * from './ids.js';
export * from './money.js';
export * from './random.js';
