import {
  BatchCancelledV1,
  BatchStateV1,
  BUCKETS,
  JobInBatchV1,
  subjects,
  type BatchCollectedV1,
  type JobAcceptedV1,
} from '@meritorder/contracts';
import { openBucket, type Bus } from '@meritorder/messaging';
import { context } from '@opentelemetry/api';
import type { BatchStore } from '../../application/batch/batch-ports.js';

type Bucket = Awaited<ReturnType<typeof openBucket>>;

const RETRY_MS = 1_000;
/** What JetStream says of a value that is not the one that was expected. */
const WRONG_LAST_SEQUENCE = 10_071;

/** Batches in the stream BATCHES, and how far each is in the bucket of that name. */
export class NatsBatchStore implements BatchStore {
  private bucket: Promise<Bucket> | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly onError: (error: Error) => void,
  ) {}

  keep(batch: BatchCollectedV1): Promise<void> {
    return this.untilCertain(async () => {
      await this.bus.publishEvent({
        type: 'batch.collected.v1',
        subject: subjects.batchCollected(batch.backend),
        id: batch.batch,
        time: batch.collectedAt,
        data: batch,
        context: context.active(),
      });
    });
  }

  async state(batch: string): Promise<BatchStateV1 | undefined> {
    const entry = await (await this.open()).get(batch);
    return entry?.operation === 'PUT' ? BatchStateV1.parse(entry.json()) : undefined;
  }

  async keepWhere(where: JobInBatchV1): Promise<void> {
    const { org, requestId } = where.job;
    await (await this.open()).put(jobKey(org, requestId), JSON.stringify(where));
  }

  async whereIs(org: string, requestId: string): Promise<JobInBatchV1 | undefined> {
    const entry = await (await this.open()).get(jobKey(org, requestId));
    return entry?.operation === 'PUT' ? JobInBatchV1.parse(entry.json()) : undefined;
  }

  async cancelled(batch: string): Promise<ReadonlySet<string>> {
    const entry = await (await this.open()).get(cancelledKey(batch));
    return new Set(entry?.operation === 'PUT' ? BatchCancelledV1.parse(entry.json()).attempts : []);
  }

  async addCancelled(batch: string, attemptId: string): Promise<void> {
    const bucket = await this.open();
    const key = cancelledKey(batch);
    for (;;) {
      const entry = await bucket.get(key);
      const before = entry?.operation === 'PUT' ? BatchCancelledV1.parse(entry.json()).attempts : [];
      if (before.includes(attemptId)) return;
      const text = JSON.stringify({ attempts: [...before, attemptId] } satisfies BatchCancelledV1);
      // Somebody else may have cancelled another meanwhile.
      if (await unlessThere(entry ? bucket.update(key, text, entry.revision) : bucket.create(key, text))) return;
    }
  }

  decide(batch: string, state: BatchStateV1): Promise<boolean> {
    const text = JSON.stringify(state);
    return this.untilCertain(async () => {
      const bucket = await this.open();
      if (await unlessThere(bucket.create(batch, text))) return true;
      // It may be this word, of which nobody heard that it arrived.
      return (await bucket.get(batch))?.string() === text;
    });
  }

  async beginSending(batch: string, state: BatchStateV1): Promise<boolean> {
    const bucket = await this.open();
    const entry = await bucket.get(batch);
    if (!entry) return false;
    const { sentAt, ending } = BatchStateV1.parse(entry.json());
    if (sentAt !== undefined || ending) return false;
    return unlessThere(bucket.update(batch, JSON.stringify(state), entry.revision));
  }

  async put(batch: string, state: BatchStateV1): Promise<void> {
    await (await this.open()).put(batch, JSON.stringify(state));
  }

  async jobGoesOn(job: JobAcceptedV1, attemptId: string): Promise<void> {
    await this.bus.publishEvent({
      type: 'job.accepted.v1',
      subject: subjects.jobAccepted(job.org, job.requestId),
      id: `${job.org}/${job.requestId}/${attemptId}${job.afterBatch?.cancelled ? '/cancelled' : ''}`,
      time: new Date().toISOString(),
      data: job,
      context: context.active(),
    });
  }

  /** What failed may have been done: given up now, it could be sent with nobody knowing. */
  private async untilCertain<T>(run: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await run();
      } catch (error) {
        this.onError(error as Error);
        if (this.bus.nats.isClosed()) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  private open(): Promise<Bucket> {
    this.bucket ??= openBucket(this.bus, BUCKETS.batches.name).catch((error: Error) => {
      this.bucket = undefined;
      throw error;
    });
    return this.bucket;
  }
}

function jobKey(org: string, requestId: string): string {
  return `job.${org}.${requestId}`;
}

function cancelledKey(batch: string): string {
  return `cancelled.${batch}`;
}

/** Whether a value was written; false: another one was there. */
async function unlessThere(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code === WRONG_LAST_SEQUENCE) return false;
    throw error;
  }
}
