import { invariant } from '@meritorder/kernel';

/** One budget in one window; integer nano-USD, exact below 2^53. */
export interface HeldWindow {
  limitNanos: number;
  settledNanos: number;
  reservedNanos: number;
  /** The most that settled and reserved came to together. */
  peakNanos: number;
}

export function newWindow(limitNanos: number): HeldWindow {
  invariant(Number.isSafeInteger(limitNanos) && limitNanos >= 0, `a limit is whole nano-dollars: ${limitNanos}`);
  return { limitNanos, settledNanos: 0, reservedNanos: 0, peakNanos: 0 };
}

/** Holds a bound in every window of a path, or in none. */
export function reserve(path: readonly HeldWindow[], boundNanos: number): boolean {
  for (const window of path)
    if (window.settledNanos + window.reservedNanos + boundNanos > window.limitNanos) return false;
  for (const window of path) {
    window.reservedNanos += boundNanos;
    window.peakNanos = Math.max(window.peakNanos, window.settledNanos + window.reservedNanos);
  }
  return true;
}

/** Books what an attempt cost in the windows of its reservation, and frees its hold. */
export function settle(path: readonly HeldWindow[], boundNanos: number, costNanos: number): void {
  for (const window of path) {
    window.reservedNanos -= boundNanos;
    window.settledNanos += costNanos;
  }
}

export function overspendNanos(windows: Iterable<HeldWindow>): number {
  let most = 0;
  for (const window of windows)
    most = Math.max(most, window.settledNanos - window.limitNanos, window.peakNanos - window.limitNanos);
  return most;
}
