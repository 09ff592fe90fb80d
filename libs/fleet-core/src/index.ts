export * from './congestion/erlang.js';
export * from './congestion/replica-shape.js';
export * from './congestion/one-more.js';
export * from './congestion/congestion.js';
export * from './latency/normal.js';
export * from './latency/learned-latency.js';
export * from './latency/latency.js';
