import type { Usage } from '../billing/prices.js';
import type { Refusal } from '../engine/refusal.js';
import type { Prompt } from '../text/prompt.js';
import type { Reply } from '../text/reply.js';

/** A request as every wire format is reduced to it. */
export interface CallRequest {
  model: string;
  prompt: Prompt;
  choices: number;
  maxTokens: number | undefined;
  stream: boolean;
  /** OpenAI streams carry usage only when asked. */
  includeUsage: boolean;
  embedding?: { inputs: string[]; format: 'float' | 'base64'; dimensions: number | undefined };
}

/** What an answer is written from. */
export interface Answer {
  callId: string;
  createdAtMs: number;
  request: CallRequest;
  replies: Reply[];
  /** Grows while the answer is generated. */
  usage: Readonly<Usage>;
  omitUsage: boolean;
  /** What it costs so far, nano-USD, of a provider that says so. */
  costNanos?: () => bigint;
  embeddingDimensions: number;
}

/** Writes one answer; no I/O. */
export interface Writer {
  /** The body of an answer that is not streamed. */
  whole(): string;
  /** Stream events before the first text, */
  opening(): string;
  /** for a piece of text of one choice, */
  text(choice: number, text: string): string;
  /** and after the last text. */
  closing(): string;
}

/** One API dialect. */
export interface Wire {
  kind: 'chat' | 'embedding';
  /** The id in the answer is the call id on the invoice. */
  idPrefix: string;
  requestIdHeader: string;
  /** Whether the usage block can tell cache writes from other input; where it cannot, there are none. */
  reportsCacheWrites: boolean;
  /** Its streams are binary frames, which the writer gives with a character for each byte; else they are text. */
  frames?: { contentType: string };
  /** @throws Refusal */
  parse(body: unknown): CallRequest;
  writer(answer: Answer): Writer;
  error(refusal: Refusal, callId: string): unknown;
  rateHeaders(limit: number, remaining: number): Record<string, string>;
}
