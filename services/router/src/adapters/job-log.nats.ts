import { BUCKETS, STREAMS, subjects } from '@meritorder/contracts';
import { decodeEvent, openBucket, type Bus } from '@meritorder/messaging';
import type { JobLog, KnownJob } from '../application/ports.js';
import { lastInStream } from './stream-message.nats.js';

type Bucket = Awaited<ReturnType<typeof openBucket>>;

const TRIES = 3;
/** What the server answers when somebody else has written since. */
const WRONG_LAST_SEQUENCE = 10071;

/** Ids of jobs in a bucket that forgets when the stream EVENTS does: the server decides who was first, whichever routers ask. */
export class NatsJobLog implements JobLog {
  private bucket: Promise<Bucket> | undefined;

  constructor(private readonly bus: Bus) {}

  async take(org: string, id: string, job: KnownJob): Promise<{ job: KnownJob; revision: number }> {
    const bucket = await this.open();
    const key = `${org}.${id}`;
    let failure: unknown;
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      try {
        return { job, revision: await bucket.create(key, JSON.stringify(job)) };
      } catch (error) {
        failure = error;
      }
      // Somebody has it; or this very job was remembered and the acknowledgement lost. The entry says which.
      const found = await bucket.get(key).catch(() => null);
      if (found?.operation === 'PUT') return { job: found.json<KnownJob>(), revision: found.revision };
    }
    throw failure;
  }

  async replace(org: string, id: string, job: KnownJob, revision: number): Promise<number | undefined> {
    const bucket = await this.open();
    try {
      return await bucket.update(`${org}.${id}`, JSON.stringify(job), revision);
    } catch (error) {
      if ((error as { code?: number }).code === WRONG_LAST_SEQUENCE) return undefined;
      throw error;
    }
  }

  /** Of one whose id nobody named there is nothing to say. */
  async ended(org: string, id: string, acceptedAt: string): Promise<void> {
    const bucket = await this.open();
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const found = await bucket.get(`${org}.${id}`);
      const job = found?.operation === 'PUT' ? found.json<KnownJob>() : undefined;
      if (job === undefined || job.acceptedAt !== acceptedAt) return;
      if ((await this.replace(org, id, { ...job, state: 'ended' }, found!.revision)) !== undefined) return;
    }
  }

  async hasResult(org: string, id: string, acceptedAt: string): Promise<boolean> {
    return (await this.resultOf(org, id, acceptedAt)) !== undefined;
  }

  /** Under the id that it had, so that whoever has it knows that it is the same. */
  async tellResult(org: string, id: string, acceptedAt: string): Promise<boolean> {
    const result = await this.resultOf(org, id, acceptedAt);
    if (result === undefined) return false;
    await this.bus.publishEvent({
      type: result.type,
      subject: subjects.inferenceResult(org, id),
      id: result.id,
      time: result.data.finishedAt,
      data: result.data,
    });
    return true;
  }

  /** The result of the job that was accepted then; an older one of that id is another's. */
  private async resultOf(org: string, id: string, acceptedAt: string) {
    const message = await lastInStream(this.bus, STREAMS.events.name, subjects.inferenceResult(org, id));
    if (message === undefined) return undefined;
    const { subject, header, data } = message;
    const result = decodeEvent(['inference.result.v1'], { subject, headers: header, data });
    // Earlier versions did not say when their job was accepted.
    const isOfIt = result.data.acceptedAt
      ? result.data.acceptedAt === acceptedAt
      : Date.parse(result.data.finishedAt) >= Date.parse(acceptedAt);
    return isOfIt ? result : undefined;
  }

  private async open(): Promise<Bucket> {
    this.bucket ??= openBucket(this.bus, BUCKETS.jobs.name);
    try {
      return await this.bucket;
    } catch (error) {
      this.bucket = undefined;
      throw error;
    }
  }
}
