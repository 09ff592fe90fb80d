export {
  Meritorder,
  type AskOptions,
  type ConnectOptions,
  type EventHandler,
  type SubscribeOptions,
} from './meritorder.js';
export { AnswerStream } from './answer-stream.js';
export { MeritorderError, type ClientErrorCode } from './meritorder-error.js';
export type { DeliveredEvent, OrgEvent, OrgEventType } from './delivered-event.js';
export type { ChatAnswer, ChatBody, ChatChunk, JobAccepted, Outcome, OutcomeState, ToolCall } from './wire.js';
export type { ErrorCode, Receipt } from '@meritorder/contracts';
