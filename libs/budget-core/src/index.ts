export * from './counter-model.js';
export * from './match-budgets.js';
export * from './thresholds.js';
export * from './windows.js';
