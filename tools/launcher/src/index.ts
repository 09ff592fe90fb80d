export * from './simulators.js';
export * from './stack.js';
