/** What a request that finds no slot has before it. */
export interface SlotLine {
  /** Requests of its own org that wait for the same slots. */
  ahead: number;
  /** Its org's weight by that of all orgs that wait for them, its own included; above 0, at most 1. */
  share: number;
  slots: number;
  /** How long a slot is held by such a request. */
  secondsEach: number;
}

/** Expected time until a slot is free for it, seconds: those before it and itself, each as long as such a request takes, on its org's part of the slots. */
export function expectedSlotSeconds({ ahead, share, slots, secondsEach }: SlotLine): number {
  return ((ahead + 1) * secondsEach) / (Math.max(1, slots) * share);
}

/** Beyond a minute OpenAI's and Anthropic's clients do not do as they are told: they come back within seconds. */
const MOST_SECONDS = 60;
/** Callers that are refused at once come back within so long of each other at least. */
const LEAST_SPREAD_SECONDS = 4;

/**
 * When to come back, whole seconds from 1 to 60: not before a slot is expected, and within as long again, so that those who were
 * refused together do not come together. @param draw uniform within [0, 1)
 */
export function comeBackInSeconds(expectedSeconds: number, draw: number): number {
  const from = Math.min(Math.max(expectedSeconds, 0.5), MOST_SECONDS / 2);
  return Math.min(MOST_SECONDS, Math.ceil(from + draw * Math.max(from, LEAST_SPREAD_SECONDS)));
}
