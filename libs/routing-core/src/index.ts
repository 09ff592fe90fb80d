export * from './breaker.js';
export * from './rank-candidates.js';
export * from './requirements.js';
export * from './hold-of.js';
export * from './choice/score.js';
export * from './choice/explore.js';
export * from './choice/decide.js';
export * from './choice/explain.js';
