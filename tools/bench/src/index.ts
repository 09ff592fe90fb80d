export * from './overshoot/matching-bench.js';
export * from './overshoot/reservation-bench.js';
export * from './replay/percentile.js';
export * from './replay/replay.js';
export * from './replay/trace.js';
export * from './overshoot/faults.js';
export * from './overshoot/overshoot.js';
export type { OvershootReport } from './overshoot/report.js';
