import type { BatchStateV1 } from '@meritorder/contracts';
import type { BatchStore } from './batch-ports.js';

/**
 * Cancels the line that a job is in a batch. What it costs is seen by whoever goes on with the batch: one that was not sent is
 * taken out of it and costs nothing; providers cancel whole batches only, so one that was sent is booked as it ends. Its job is
 * told at once that it is cancelled. @returns false: the job is in no batch, or in one that has ended
 */
export async function cancelLine(
  store: Pick<BatchStore, 'whereIs' | 'addCancelled' | 'state' | 'jobGoesOn'>,
  org: string,
  requestId: string,
): Promise<boolean> {
  const where = await store.whereIs(org, requestId);
  if (!where) return false;
  const { batch, attemptId, job } = where;
  if (isPast(await store.state(batch))) return false;
  await store.addCancelled(batch, attemptId);
  // One that ends meanwhile says that it does before it reads who is cancelled: its job is told one thing.
  const state = await store.state(batch);
  if (isPast(state)) return false;
  // Not released, its router has the job and hears the cancel itself; if it opened it before, the batch tells when it is sent.
  if (state?.released.includes(attemptId))
    await store.jobGoesOn({ ...job, body: {}, afterBatch: { cancelled: true } }, attemptId);
  return true;
}

function isPast(state: BatchStateV1 | undefined): boolean {
  return state?.over === true || state?.ending === true;
}
