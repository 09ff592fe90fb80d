export * from './estimate.js';
export * from './input-tokens.js';
export * from './price-book.js';
export * from './rating.js';
