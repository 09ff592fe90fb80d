export * from './models.js';
export { EXACT_LIMIT_BYTES, type GuardedTokenizer } from './guarded-tokenizer.js';
export * from './load.js';
