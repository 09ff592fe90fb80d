import { ERRORS, type Refusal } from '@meritorder/contracts';

/** A job is looked at again so soon, where nobody says when. */
export const RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 60_000;
/** Runs that were paid for and came to nothing, of one job at one router: then it ends with the error of the last. */
const MOST_PAID_RUNS = 3;
/** Jobs that are remembered; of those that are not the runs count anew. */
const MOST_JOBS = 10_000;
/** Failures that no provider charges for. What is not among them may have been charged. */
const FREE: ReadonlySet<unknown> = new Set(['connect', 'quota', 'credential', 'server-error', 'context-length']);

/**
 * When a job that was refused is run again. A run that failed costs nothing where nothing answered; but an answer that breaks off,
 * or cannot be read, is charged each time, so that a job that always ends so must not be run until its deadline.
 */
export class FailedRuns {
  private readonly jobs = new Map<string, { failed: number; paid: number }>();

  /** Milliseconds until it is run again; undefined: it is not. */
  waitMs(job: string, { code, details, retryAfterSeconds }: Refusal): number | undefined {
    if (!ERRORS[code].retryable) return undefined;
    const saidMs = (retryAfterSeconds ?? 0) * 1_000;
    if (code !== 'backend_failed') return saidMs || RETRY_MS;
    const { failed, paid } = this.jobs.get(job) ?? { failed: 0, paid: 0 };
    const failures = details?.['failures'];
    const isFree = Array.isArray(failures) && failures.every((failure) => FREE.has(failure));
    const runs = { failed: failed + 1, paid: paid + (isFree ? 0 : 1) };
    this.jobs.delete(job);
    if (runs.paid >= MOST_PAID_RUNS) return undefined;
    this.jobs.set(job, runs);
    if (this.jobs.size > MOST_JOBS) this.jobs.delete(this.jobs.keys().next().value!);
    return Math.max(saidMs, Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** failed));
  }
}
