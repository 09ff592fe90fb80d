export * from './bound.js';
export * from './estimate.js';
export * from './intake.js';
export * from './price-book.js';
export * from './price-config.js';
export * from './rating.js';
export * from './served-model.js';
export * from './guard/index.js';
