import type { StoredAnswer } from './idempotency.js';

/** The caller's end of one HTTP request. */
export interface CallerResponse {
  /** Header names in lower case; they go out with whatever is sent first. */
  header(name: string, value: string): void;
  /** A whole answer. */
  send(answer: StoredAnswer): void;
  /** Begins a stream of server-sent events. */
  begin(headers: Record<string, string>): void;
  /** @returns false when the caller is behind: `onDrained` says when it is not any more. */
  write(event: Uint8Array): boolean;
  /** Ends a stream with its last event. */
  end(event: Uint8Array): void;
  onDrained(run: () => void): void;
  /** Runs when the caller has left before the end, at once if it has already. */
  onGone(run: () => void): void;
}
