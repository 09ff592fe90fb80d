export { dialectOf, type CallHints, type Dialect } from './dialect.js';
export { disjointUsage, type InclusiveCounts } from './disjoint-usage.js';
export * from './estimated-usage.js';
export type { CountTokens } from './generated-text.js';
export { servedTierOf } from './served-tier.js';
export * from './usage-reader.js';
export {
  totalRuleOf,
  totalTokensOf,
  type OtherModelUsage,
  type TotalRule,
  type UsageReading,
} from './usage-reading.js';
