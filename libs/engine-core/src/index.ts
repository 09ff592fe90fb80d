export * from './engine-paths.js';
export * from './read-engine.js';
export * from './engine-speed.js';
