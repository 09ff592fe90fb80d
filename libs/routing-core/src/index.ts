export * from './breaker.js';
export * from './rank-candidates.js';
export * from './requirements.js';
export * from './hold-of.js';
