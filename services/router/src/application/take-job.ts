import type { JobLog, KnownJob } from './ports.js';

export type TakenJob =
  /** To be put into the queue under its message id, which the queue knows if it has it already. */
  | { as: 'to-keep'; job: KnownJob; revision: number }
  /** It waits, runs or has ended; a result that is there was told again. */
  | { as: 'known'; job: KnownJob }
  /** Its id is that of another job. */
  | { as: 'reused' };

/**
 * One id is one job of its org for as long as its result is kept. After that it is taken anew: it is run, and its customer
 * is charged, once more.
 */
export async function takeJob(jobs: JobLog, org: string, id: string, wanted: KnownJob): Promise<TakenJob> {
  const { job, revision } = await jobs.take(org, id, wanted);
  if (job.claim === wanted.claim) return { as: 'to-keep', job, revision };
  if (job.state === 'ended' && !(await jobs.hasResult(org, id, job.acceptedAt))) {
    const anew = { ...wanted, messageId: `${wanted.messageId}/${Date.parse(wanted.acceptedAt)}` };
    const replaced = await jobs.replace(org, id, anew, revision);
    if (replaced !== undefined) return { as: 'to-keep', job: anew, revision: replaced };
    // Somebody else was faster, with this job or another.
    return takeJob(jobs, org, id, wanted);
  }
  if (job.fingerprint !== wanted.fingerprint) return { as: 'reused' };
  const isTold = await jobs.tellResult(org, id, job.acceptedAt);
  return isTold || job.state !== 'taken' ? { as: 'known', job } : { as: 'to-keep', job, revision };
}

/** The queue has it. What was said of it since then, that it has ended, stays. */
export async function jobIsKept(
  jobs: JobLog,
  org: string,
  id: string,
  { job, revision }: Extract<TakenJob, { as: 'to-keep' }>,
  sequence: number,
): Promise<void> {
  await jobs.replace(org, id, { ...job, state: 'kept', sequence }, revision);
}
