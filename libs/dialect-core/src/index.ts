export { chatOfMessages, type ChatReading, type Uncarried } from './messages-to-chat.js';
export { messageOfChat, usageBlock, type AskedFor, type StopReason } from './chat-to-message.js';
export { EventsOfChunks, type AnswerNames, type MessageEvent } from './chunks-to-events.js';
export { TranslationError } from './translation-error.js';
export { callOfChat, type CallOfChat } from './provider/call-of-chat.js';
export type { SdkProtocol } from './provider/part-of-chat.js';
export { ChunksOfParts, completionOfContent, completionUsage, type FinishReason } from './provider/chunks-of-parts.js';
export { unsaidOnWire } from './provider/unsaid-on-wire.js';
