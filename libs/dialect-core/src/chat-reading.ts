import type { ChatRequest } from '@meritorder/contracts';

/** What a chat completion cannot say of a request of another kind. */
export interface Uncarried {
  /** Dotted, for example `messages.3.content.0`. */
  path: string;
  what: string;
}

export interface ChatReading {
  /** The request as a chat completion. */
  chat: ChatRequest;
  /** The first things that are not in `chat` as they were meant; empty: all of it is. At most MOST_REPORTED. */
  uncarried: Uncarried[];
  /** A field whose cost no bound is known for, whoever serves it. */
  unbounded: string | undefined;
  /** Where a part of `chat` is in the request, dotted; undefined: it is not known. */
  placeOf: (part: object) => string | undefined;
}

export const MOST_REPORTED = 16;
