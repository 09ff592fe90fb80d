import { z } from 'zod';
import { Instant, Slug } from '../primitives.js';
import { JobAcceptedV1 } from './job-accepted.v1.js';
import { WorkRequest } from './work.v1.js';

/** One attempt of a batch: what it was asked for, the job that it is of, and the call that the provider is to make of it. */
export const BatchLine = z.object({
  work: WorkRequest,
  job: JobAcceptedV1,
  worker: Slug,
  openedAt: Instant,
  /** The path below the version, and the body, as the backend's wire would have sent them. */
  call: z.object({ path: z.string(), body: z.record(z.string(), z.unknown()) }),
});
export type BatchLine = z.infer<typeof BatchLine>;

/** `batch.collected.v1.<backend>`: attempts that are to go to the provider together, kept before any of them is opened. */
export const BatchCollectedV1 = z.object({
  batch: Slug,
  backend: Slug,
  collectedAt: Instant,
  lines: z.array(BatchLine).min(1).max(10_000),
});
export type BatchCollectedV1 = z.infer<typeof BatchCollectedV1>;

/** In the bucket BATCHES, under the batch: how far it is. Absent: nothing of it may be sent yet. */
export const BatchStateV1 = z.object({
  /** The attempts that go: on record, and their holds open. None: it was given up. */
  released: z.array(Slug),
  credential: z.string().optional(),
  /** From here on it may be at the provider, and is not sent again. */
  sentAt: Instant.optional(),
  providerId: z.string().max(512).optional(),
  /** Attempts that were cancelled before it was sent: they are not in it. */
  withdrawn: z.array(Slug).optional(),
  /** When the provider took it that all of the batch is to be cancelled. */
  cancelledAt: Instant.optional(),
  /** What has not been cancelled by now goes on as it ended. */
  ending: z.boolean().optional(),
  /** All is booked, and each of its jobs has gone on. */
  over: z.boolean().optional(),
});
export type BatchStateV1 = z.infer<typeof BatchStateV1>;

/** In the bucket BATCHES, under `job.<org>.<request>`: where a job is, from before its line is opened. */
export const JobInBatchV1 = z.object({
  batch: Slug,
  attemptId: Slug,
  job: JobAcceptedV1.omit({ body: true }),
});
export type JobInBatchV1 = z.infer<typeof JobInBatchV1>;

/** In the bucket BATCHES, under `cancelled.<batch>`: its attempts whose jobs were cancelled. */
export const BatchCancelledV1 = z.object({ attempts: z.array(Slug).max(10_000) });
export type BatchCancelledV1 = z.infer<typeof BatchCancelledV1>;
