export * from './counters.js';
export * from './replies.js';
export { SCRIPTS, type Script } from './scripts.js';
export { encodeReserve, type ReserveCall } from './reserve-call.js';
export type {
  OrgRate,
  AccountRate,
  Adjustment,
  CandidateWindow,
  ReserveCandidate,
  ReserveCommand,
  StageAmounts,
} from '@meritorder/budget-core';
