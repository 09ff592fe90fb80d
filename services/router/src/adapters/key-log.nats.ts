import { BUCKETS } from '@meritorder/contracts';
import { sha256Hex } from '@meritorder/kernel';
import { openBucket, type Bus } from '@meritorder/messaging';
import type { KeyLog, KeyUse } from '../application/ports.js';

type Bucket = Awaited<ReturnType<typeof openBucket>>;

const TRIES = 3;

/** Idempotency keys in a bucket that forgets: the server decides who created an entry, whichever routers ask. */
export class NatsKeyLog implements KeyLog {
  private constructor(private readonly bucket: Bucket) {}

  static async open(bus: Bus): Promise<NatsKeyLog> {
    return new NatsKeyLog(await openBucket(bus, BUCKETS.idempotency.name));
  }

  async claim(org: string, key: string, use: KeyUse): Promise<KeyUse> {
    const entry = entryOf(org, key);
    let failure: unknown;
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      try {
        await this.bucket.create(entry, JSON.stringify(use));
        return use;
      } catch (error) {
        failure = error;
      }
      // Somebody has it; or this very claim was kept and its acknowledgement lost. The entry says which.
      const found = await this.bucket.get(entry).catch(() => null);
      if (found?.operation === 'PUT') return found.json<KeyUse>();
    }
    throw failure;
  }

  async answered(org: string, key: string, use: KeyUse): Promise<void> {
    await this.bucket.put(entryOf(org, key), JSON.stringify(use));
  }

  async free(org: string, key: string): Promise<void> {
    await this.bucket.delete(entryOf(org, key));
  }
}

/** Any text may be a key, but not any text a subject. */
function entryOf(org: string, key: string): string {
  return `${org}.${sha256Hex(key)}`;
}
