export * from './family.js';
export * from './guarded-price.js';
export * from './judge-price.js';
export * from './judge-version.js';
export * from './parse-usd-per-token.js';
