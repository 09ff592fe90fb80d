export * from './replay/percentile.js';
export * from './replay/replay.js';
export * from './replay/trace.js';
