import { BUCKETS, STREAMS, subjects } from '@meritorder/contracts';
import { isSlug } from '@meritorder/kernel';
import { openBucket, type Bus } from '@meritorder/messaging';
import { isInStream } from './stream-message.nats.js';

type Bucket = Awaited<ReturnType<typeof openBucket>>;

/**
 * Jobs that were cancelled while they were in the stream JOBS, in a bucket that forgets. Cancels of requests that are no job come on
 * the same subject and are far more: the stream knows which is one, so those cost one read and no write.
 */
export class NatsCancelledJobs {
  private bucket: Promise<Bucket> | undefined;

  constructor(private readonly bus: Bus) {}

  /** Does nothing where no such job is in the stream. */
  async keep(org: string, request: string): Promise<void> {
    if (!isSlug(request) || !(await isInStream(this.bus, STREAMS.jobs.name, subjects.jobAccepted(org, request))))
      return;
    await (await this.open()).put(`${org}.${request}`, new Date().toISOString());
  }

  async has(org: string, request: string): Promise<boolean> {
    return (await (await this.open()).get(`${org}.${request}`)) !== null;
  }

  private async open(): Promise<Bucket> {
    this.bucket ??= openBucket(this.bus, BUCKETS.cancels.name);
    try {
      return await this.bucket;
    } catch (error) {
      this.bucket = undefined;
      throw error;
    }
  }
}
