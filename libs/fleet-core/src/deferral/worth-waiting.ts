/** A durable job that may be started now or later. */
export interface Deferral {
  /** The best score that it has now, USD; undefined: nothing can take it now. */
  readonly scoreNowUsd: number | undefined;
  /** Its score on own hardware that is idle RECHECK_SECONDS from now, USD; undefined: no own hardware is able. */
  readonly scoreWhenIdleUsd: number | undefined;
  /** What the best that it has now costs, USD. */
  readonly costNowUsd: number;
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
export const RECHECK_SECONDS = 5;
/** To gain less than a nano-dollar, or than this share of what it costs, no job is kept waiting. */
const LEAST_GAIN_USD = 1e-9;
const LEAST_GAIN_SHARE = 0.01;

/** The last moment to start, by its deadline; Infinity without one. Epoch milliseconds. */
export function latestStartMs(job: Pick<Deferral, 'deadlineMs' | 'expectedServiceSeconds' | 'marginSeconds'>): number {
  return (job.deadlineMs ?? Infinity) - (job.expectedServiceSeconds + job.marginSeconds) * 1_000;
}

/**
 * Whether a job should wait for idle capacity. Until its latest start a job loses nothing by waiting and can still take what there
 * is then, so it waits as long as an idle replica would score better than the best there is now: no rule names its value or kind.
 * A job that is worth little gains most by waiting, for it is then that a congestion price outweighs it.
 *
 * Scores must be of the same moment's prices, and of the same terms: an idle replica that is slow is as late later as it is now, and
 * who waits is later by the wait.
 */
export function worthWaiting(job: Deferral): DeferralDecision {
  const { scoreNowUsd, scoreWhenIdleUsd, nowMs } = job;
  const latest = latestStartMs(job);
  if (nowMs >= latest) return { wait: false, why: 'latest-start' };
  const recheckAtMs = Math.min(latest, nowMs + RECHECK_SECONDS * 1_000);
  if (scoreNowUsd === undefined) return { wait: true, why: 'nothing-now', recheckAtMs };
  if (scoreWhenIdleUsd === undefined) return { wait: false, why: 'no-own-hardware' };
  const leastGainUsd = LEAST_GAIN_USD + LEAST_GAIN_SHARE * Math.max(0, job.costNowUsd);
  if (scoreWhenIdleUsd - scoreNowUsd > leastGainUsd) return { wait: true, why: 'cheaper-when-idle', recheckAtMs };
  return { wait: false, why: 'as-good-now' };
}
