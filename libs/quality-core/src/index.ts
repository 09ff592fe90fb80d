export * from './prompt/prompt-features.js';
export * from './learning/quality.js';
export * from './learning/magnitude.js';
export * from './learning/snapshot.js';
export { calibrationErrorOf } from './learning/calibration.js';
export * from './off-policy/estimate.js';
export * from './prompt/request-tags.js';
export * from './prompt/features-text.js';
export * from './outcomes/quality-of-outcome.js';
