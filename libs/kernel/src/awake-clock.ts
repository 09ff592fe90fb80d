import type { Clock } from './clock.js';

/** How often an AwakeClock is to be ticked. */
export const AWAKE_TICK_MS = 250;
/** What a tick adds at most: a process that was slow was awake, one that stood still was not. */
const MOST_PER_TICK_MS = 2 * AWAKE_TICK_MS;

/**
 * Milliseconds in which this process was able to hear others, in steps of a tick. Silence measured by it is the others' own: a paused
 * machine, a long collection or a stopped process does not make everybody else look dead when it goes on.
 */
export class AwakeClock implements Clock {
  private awakeMs = 0;

  /** @param tickedAtMs of a monotonic clock, like all that follow */
  constructor(private tickedAtMs: number) {}

  tick(monotonicMs: number): void {
    this.awakeMs += Math.min(MOST_PER_TICK_MS, Math.max(0, monotonicMs - this.tickedAtMs));
    this.tickedAtMs = monotonicMs;
  }

  nowMs(): number {
    return this.awakeMs;
  }
}
