/**
 * A circuit breaker as a pure state machine (economics, section 8). It opens when, of at least 20 calls in the last 30 s, half
 * failed, or when five in a row could not even connect: for 5 s, doubled each time it fails again (at most 5 min), with jitter, so
 * that routers do not come back all at once. Then one call at a time probes: one success closes it, one failure opens it again.
 *
 * A quota answer (429) cools the backend down for as long as it asked and says nothing of its health. A caller's own fault never
 * counts.
 */
export interface BreakerState {
  /** The last 30 s in slots of 3 s, the oldest first; at most 11. */
  slots: readonly BreakerSlot[];
  connectFailuresInRow: number;
  /** How often it opened without a success of a probe in between. */
  trips: number;
  openUntilMs: number;
  quotaUntilMs: number;
  probing: boolean;
}

export interface BreakerSlot {
  /** Epoch milliseconds / 3,000, whole. */
  slot: number;
  calls: number;
  failures: number;
}

export const CLOSED: BreakerState = {
  slots: [],
  connectFailuresInRow: 0,
  trips: 0,
  openUntilMs: 0,
  quotaUntilMs: 0,
  probing: false,
};
const SLOT_MS = 3_000;
const SLOTS = 10;
const CALLS_TO_JUDGE = 20;
const FAILED_SHARE_TO_OPEN = 0.5;
const CONNECT_FAILURES_TO_OPEN = 5;
const FIRST_OPEN_MS = 5_000;
const LONGEST_OPEN_MS = 300_000;
/** The time open is drawn from this much around its nominal length. */
const JITTER = 0.25;
const LONGEST_COOL_DOWN_MS = 3_600_000;
const COOL_DOWN_MS = 1_000;

export type BreakerEvent =
  | { type: 'success' }
  /** `connect`: nothing listened, or nothing came back at all. */
  | { type: 'failure'; kind: 'connect' | 'answer' }
  | { type: 'quota'; retryAfterMs: number | undefined }
  | { type: 'probe' }
  /** A call ended without saying anything about the backend: nobody took it, the caller went, or it was the caller's fault. */
  | { type: 'neutral' };

/** Why no call may be sent, and for how long; while another one probes, that is soon known. */
export function breakerCools(
  { openUntilMs, quotaUntilMs }: BreakerState,
  nowMs: number,
): { quota: boolean; seconds: number } {
  return {
    quota: quotaUntilMs > nowMs && quotaUntilMs >= openUntilMs,
    seconds: Math.max(0, Math.max(quotaUntilMs, openUntilMs) - nowMs) / 1_000,
  };
}

/** Whether a call may be sent now. */
export function breakerAllows(state: BreakerState, nowMs: number): boolean {
  return nowMs >= state.openUntilMs && nowMs >= state.quotaUntilMs && !(state.trips > 0 && state.probing);
}

/** @param draw in [0, 1), uniform: the jitter of an opening that this event may bring; .5 is none */
export function nextBreaker(state: BreakerState, event: BreakerEvent, nowMs: number, draw: number): BreakerState {
  switch (event.type) {
    case 'probe':
      return state.trips > 0 ? { ...state, probing: true } : state;
    case 'neutral':
      return state.probing ? { ...state, probing: false } : state;
    case 'quota': {
      const coolDownMs = Math.min(LONGEST_COOL_DOWN_MS, Math.max(0, event.retryAfterMs ?? COOL_DOWN_MS));
      // Who counts calls listens and answers: a probe that hears of a quota has found a healthy backend.
      const healthy = state.probing ? CLOSED : { ...state, connectFailuresInRow: 0 };
      return { ...healthy, quotaUntilMs: Math.max(state.quotaUntilMs, nowMs + coolDownMs) };
    }
    case 'success':
      if (state.probing) return { ...CLOSED, quotaUntilMs: state.quotaUntilMs };
      return { ...state, slots: counted(state.slots, nowMs, 0), connectFailuresInRow: 0 };
    case 'failure': {
      // Calls sent before it opened end while it is open: they are the reason that is known already.
      if (state.trips > 0 && !state.probing) return state;
      const slots = counted(state.slots, nowMs, 1);
      const connectFailuresInRow = event.kind === 'connect' ? state.connectFailuresInRow + 1 : 0;
      if (state.probing || connectFailuresInRow >= CONNECT_FAILURES_TO_OPEN || mostlyFailed(slots))
        return opened(state, nowMs, draw);
      return { ...state, slots, connectFailuresInRow };
    }
  }
}

function opened(state: BreakerState, nowMs: number, draw: number): BreakerState {
  const nominalMs = Math.min(LONGEST_OPEN_MS, FIRST_OPEN_MS * 2 ** Math.min(10, state.trips));
  const openMs = nominalMs * (1 + JITTER * (2 * draw - 1));
  return { ...CLOSED, trips: state.trips + 1, openUntilMs: nowMs + openMs, quotaUntilMs: state.quotaUntilMs };
}

function counted(slots: readonly BreakerSlot[], nowMs: number, failures: 0 | 1): BreakerSlot[] {
  const slot = Math.floor(nowMs / SLOT_MS);
  // The slot that is half over stays, so that 30 s are never less.
  const recent = slots.filter((s) => s.slot >= slot - SLOTS && s.slot < slot);
  const now = slots.find((s) => s.slot === slot) ?? { slot, calls: 0, failures: 0 };
  return [...recent, { slot, calls: now.calls + 1, failures: now.failures + failures }];
}

function mostlyFailed(slots: readonly BreakerSlot[]): boolean {
  const calls = slots.reduce((sum, s) => sum + s.calls, 0);
  const failures = slots.reduce((sum, s) => sum + s.failures, 0);
  return calls >= CALLS_TO_JUDGE && failures >= FAILED_SHARE_TO_OPEN * calls;
}
