export { chatOfMessages, type ChatReading, type Uncarried } from './messages-to-chat.js';
export { messageOfChat, usageBlock, type AskedFor, type StopReason } from './chat-to-message.js';
export { EventsOfChunks, type AnswerNames, type MessageEvent } from './chunks-to-events.js';
export { TranslationError } from './translation-error.js';
