export * from './charge/charge-rule.js';
export * from './guard/exploration-limit.js';
export * from './guard/hold-out.js';
export * from './statistics/sample-size.js';
