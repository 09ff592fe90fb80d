/**
 * A circuit breaker as a pure state machine: five failures in a row open it for 5 s, doubled each time it fails again
 * (at most 5 min); after that one call probes. A quota answer (429) cools the backend down for as long as it asked.
 * A caller's own fault never counts (economics, section 8).
 */
export interface BreakerState {
  failuresInRow: number;
  /** How often it opened without a success in between. */
  trips: number;
  openUntilMs: number;
  probing: boolean;
}

export const CLOSED: BreakerState = { failuresInRow: 0, trips: 0, openUntilMs: 0, probing: false };
const FAILURES_TO_OPEN = 5;
const FIRST_OPEN_MS = 5_000;
const LONGEST_OPEN_MS = 300_000;
const LONGEST_COOL_DOWN_MS = 60_000;

export type BreakerEvent =
  | { type: 'success' }
  | { type: 'failure' }
  | { type: 'quota'; retryAfterMs: number | undefined }
  | { type: 'probe' }
  /** A call ended without saying anything about the backend: nobody took it, or the caller went. */
  | { type: 'neutral' };

/** Whether a call may be sent now. */
export function breakerAllows(state: BreakerState, nowMs: number): boolean {
  return nowMs >= state.openUntilMs && !(state.trips > 0 && state.probing);
}

export function nextBreaker(state: BreakerState, event: BreakerEvent, nowMs: number): BreakerState {
  switch (event.type) {
    case 'success':
      return CLOSED;
    case 'probe':
      return state.trips > 0 ? { ...state, probing: true } : state;
    case 'neutral':
      return state.probing ? { ...state, probing: false } : state;
    case 'quota':
      return {
        ...state,
        probing: false,
        openUntilMs: Math.max(state.openUntilMs, nowMs + Math.min(LONGEST_COOL_DOWN_MS, event.retryAfterMs ?? 1_000)),
      };
    case 'failure': {
      const failuresInRow = state.failuresInRow + 1;
      if (state.trips === 0 && failuresInRow < FAILURES_TO_OPEN) return { ...state, failuresInRow };
      const openMs = Math.min(LONGEST_OPEN_MS, FIRST_OPEN_MS * 2 ** Math.min(10, state.trips));
      return { failuresInRow, trips: state.trips + 1, openUntilMs: nowMs + openMs, probing: false };
    }
  }
}
