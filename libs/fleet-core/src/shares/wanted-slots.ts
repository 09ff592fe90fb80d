/** What an org wanted of a replica lately: the most it had, asked for and was denied at once. */
export interface WantedSlots {
  windowStartMs: number;
  most: number;
  /** Of the window before. */
  mostBefore: number;
  denied: number;
}

/**
 * A claim is remembered for one to two of these. Long enough that an org whose requests follow one another keeps its place, short
 * enough that what it leaves is lent again soon; a heartbeat takes one second.
 */
export const CLAIM_WINDOW_MS = 2_500;

/** One more request asked for a slot. @param denied it found none, or none that it may take */
export function askedForSlot(
  before: WantedSlots | undefined,
  inFlight: number,
  denied: boolean,
  nowMs: number,
): WantedSlots {
  const state = moved(before, nowMs);
  const deniedNow = state.denied + (denied ? 1 : 0);
  const wanted = inFlight + Math.max(1, deniedNow);
  return { ...state, denied: deniedNow, most: Math.max(state.most, wanted) };
}

export function wantedSlots(state: WantedSlots, nowMs: number): number {
  const { most, mostBefore } = moved(state, nowMs);
  return Math.max(most, mostBefore);
}

function moved(state: WantedSlots | undefined, nowMs: number): WantedSlots {
  const age = state ? nowMs - state.windowStartMs : Infinity;
  if (state && age < CLAIM_WINDOW_MS) return state;
  const mostBefore = state && age < 2 * CLAIM_WINDOW_MS ? state.most : 0;
  return { windowStartMs: nowMs, most: 0, mostBefore, denied: 0 };
}
