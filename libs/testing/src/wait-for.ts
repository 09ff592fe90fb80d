import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  /** What is waited for, in words. */
  message: string;
  /** Default 15 s. */
  timeoutMs?: number;
  /** Default 20 ms. */
  everyMs?: number;
}

/**
 * Polls until `check` returns something other than undefined and false; an exception counts as not yet.
 * @throws Error with the message, and the last exception as its cause, after the deadline.
 */
export async function waitFor<T>(
  check: () => T | undefined | false | Promise<T | undefined | false>,
  what: string | WaitOptions,
  timeoutMs = 15_000,
): Promise<T> {
  const options = { timeoutMs, everyMs: 20, ...(typeof what === 'string' ? { message: what } : what) };
  const deadline = Date.now() + options.timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      const why = last instanceof Error ? ` (${last.message})` : '';
      throw new Error(`waited ${options.timeoutMs} ms for: ${options.message}${why}`, { cause: last });
    }
    await delay(options.everyMs);
  }
}
