import type { ChatRequest, OutcomeReport, Receipt } from '@meritorder/contracts';
import type { input } from 'zod';

/** What OpenAI defines for a chat completion, with Meritorder's wishes in `meritorder` and attribution in `metadata`. */
export type ChatBody = input<typeof ChatRequest>;

export interface ToolCall {
  id: string;
  type: string;
  function: { name: string; arguments: string };
}

/** OpenAI's chat completion with the receipt. What a backend adds is there too. */
export interface ChatAnswer {
  id: string;
  model: string;
  created: number;
  choices: {
    index: number;
    message: { role: string; content: string | null; tool_calls?: ToolCall[]; [more: string]: unknown };
    finish_reason: string | null;
    [more: string]: unknown;
  }[];
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number; [more: string]: unknown };
  meritorder: Receipt;
  [more: string]: unknown;
}

/** OpenAI's chunk of a streamed chat completion. */
export interface ChatChunk {
  id: string;
  model: string;
  choices: {
    index: number;
    delta: { role?: string; content?: string | null; tool_calls?: unknown[]; [more: string]: unknown };
    finish_reason: string | null;
    [more: string]: unknown;
  }[];
  [more: string]: unknown;
}

/** What a request turned out to be worth. */
export type Outcome = input<typeof OutcomeReport>;

/** `recorded`: new; `known`: had been reported before; `pending`: kept until its request is on record. */
export interface OutcomeState {
  outcome_id: string;
  state: 'recorded' | 'known' | 'pending';
}

export interface JobAccepted {
  requestId: string;
  /** A job of the same `jobId` had been accepted before. */
  duplicate: boolean;
}
