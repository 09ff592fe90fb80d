export * from './demand.js';
export * from './logged-requests.js';
export * from './path-price.js';
export * from './price-bounds.js';
export * from './shadow-price.js';
export * from './tick.js';
export * from './warm-start.js';
export * from './window-change.js';
