/** A durable job that may be started now or later. */
export interface Deferral {
  /** The best score that it has now, USD; undefined: nothing can take it now. */
  readonly scoreNowUsd: number | undefined;
  /** Its score on own hardware at the price of an idle replica, USD; undefined: no own hardware is able. */
  readonly scoreWhenIdleUsd: number | undefined;
  /** Epoch milliseconds by which it must be done; undefined: whenever. */
  readonly deadlineMs: number | undefined;
  /** What it will take once started, on the slowest that it would then be given to. */
  readonly expectedServiceSeconds: number;
  /** Kept for what is not expected. */
  readonly marginSeconds: number;
  readonly nowMs: number;
}

export type DeferralDecision =
  | { readonly wait: false; readonly why: 'as-good-now' | 'latest-start' | 'no-own-hardware' }
  | { readonly wait: true; readonly why: 'cheaper-when-idle' | 'nothing-now'; readonly recheckAtMs: number };

/** Idle capacity shows by heartbeats, every second; asking more often finds nothing new. */
const RECHECK_MS = 5_000;

/** The last moment to start, by its deadline; Infinity without one. Epoch milliseconds. */
export function latestStartMs(job: Pick<Deferral, 'deadlineMs' | 'expectedServiceSeconds' | 'marginSeconds'>): number {
  return (job.deadlineMs ?? Infinity) - (job.expectedServiceSeconds + job.marginSeconds) * 1_000;
}

/**
 * Whether a job should wait for idle capacity. Until its latest start a job loses nothing by waiting and can still take what there
 * is then, so it waits as long as an idle replica would score better than the best there is now: no rule names its value or kind.
 * A job that is worth little gains most by waiting, for it is then that a congestion price outweighs it.
 *
 * Scores must be of the same moment's prices. A job that waits has no deadline near enough to be late, so lateness does not count
 * in `scoreWhenIdleUsd`.
 */
export function worthWaiting(job: Deferral): DeferralDecision {
  const { scoreNowUsd, scoreWhenIdleUsd, nowMs } = job;
  const latest = latestStartMs(job);
  if (nowMs >= latest) return { wait: false, why: 'latest-start' };
  const recheckAtMs = Math.min(latest, nowMs + RECHECK_MS);
  if (scoreNowUsd === undefined) return { wait: true, why: 'nothing-now', recheckAtMs };
  if (scoreWhenIdleUsd === undefined) return { wait: false, why: 'no-own-hardware' };
  if (scoreWhenIdleUsd > scoreNowUsd) return { wait: true, why: 'cheaper-when-idle', recheckAtMs };
  return { wait: false, why: 'as-good-now' };
}
