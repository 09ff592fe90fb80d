import { BUCKETS, type KeyEntry } from '@meritorder/contracts';
import { markTold, outrank, secretsToTell, untoldSecrets, type SecretEntry } from '@meritorder/ledger-store';
import { openBucket, readBucket, type Bus } from '@meritorder/messaging';
import type { DataSource } from 'typeorm';

type Bucket = Awaited<ReturnType<typeof openBucket>>;

const TRIES = 5;
const BATCH = 500;

/**
 * Tells routers and gateways, through the bucket KEYS, what Postgres says of each secret. Several may run: every write names the
 * revision of the bucket that it replaces and none replaces a later word by an earlier one, so a write that was delayed cannot
 * bring a revoked key back.
 */
export class KeyPublisher {
  private sweptOf = '';

  constructor(
    private readonly source: DataSource,
    private readonly bus: Bus,
  ) {}

  /** Tells what has not been told yet; of one key, if it is named. */
  async tellUntold(of?: { org: string; id: string }): Promise<void> {
    const bucket = await openBucket(this.bus, BUCKETS.keys.name);
    for (;;) {
      const secrets = await untoldSecrets(this.source, BATCH, of);
      for (const secret of secrets) await this.tell(bucket, secret);
      await markTold(this.source, secrets);
      if (secrets.length < BATCH) return;
    }
  }

  /** Whether the bucket is not the one that was swept: lost and made anew, or never seen. */
  async isStrange(): Promise<boolean> {
    return (await this.bucketMadeAt()) !== this.sweptOf;
  }

  /** Makes the whole bucket agree with Postgres: what was lost comes back, and what nobody here wrote goes. */
  async sweep(): Promise<void> {
    const madeAt = await this.bucketMadeAt();
    const bucket = await openBucket(this.bus, BUCKETS.keys.name);
    const there = await readBucket(this.bus, BUCKETS.keys.name);
    for (let after = '', more = true; more;) {
      const secrets = await secretsToTell(this.source, after, BATCH);
      for (const secret of secrets) {
        if (there.get(secret.digest)?.string() !== JSON.stringify(secret.entry)) await this.tell(bucket, secret);
        there.delete(secret.digest);
      }
      more = secrets.length === BATCH;
      after = secrets.at(-1)?.digest ?? after;
    }
    for (const digest of there.keys()) {
      // It may have been made since the list of Postgres was read: then it is told again.
      await bucket.delete(digest);
      await this.tellAgain(bucket, digest);
    }
    this.sweptOf = madeAt;
  }

  private async tellAgain(bucket: Bucket, digest: string): Promise<void> {
    const [secret] = await secretsToTell(this.source, predecessor(digest), 1);
    if (secret?.digest === digest) await this.tell(bucket, secret);
  }

  private async tell(bucket: Bucket, secret: SecretEntry): Promise<void> {
    const text = JSON.stringify(secret.entry);
    for (let attempt = 1; ; attempt++) {
      const current = await bucket.get(secret.digest);
      try {
        if (current?.operation !== 'PUT') {
          await bucket.create(secret.digest, text);
          return;
        }
        if (current.string() === text) return;
        const revision = revisionOf(current.string());
        // A later word of another instance; or none of ours, and then the next round outranks it.
        if (revision >= secret.entry.revision) return await outrank(this.source, secret, revision);
        await bucket.update(secret.digest, text, current.revision);
        return;
      } catch (error) {
        if (attempt === TRIES || !/wrong last sequence|key exists/i.test((error as Error).message)) throw error;
      }
    }
  }

  private async bucketMadeAt(): Promise<string> {
    return (await (await this.bus.manager()).streams.info(`KV_${BUCKETS.keys.name}`)).created;
  }
}

function revisionOf(text: string): number {
  try {
    const { revision } = JSON.parse(text) as Partial<KeyEntry>;
    return Number.isSafeInteger(revision) ? revision! : 0;
  } catch {
    return 0;
  }
}

/** The greatest hex text of this length before another one. */
function predecessor(digest: string): string {
  return (BigInt(`0x${digest}`) - 1n).toString(16).padStart(digest.length, '0');
}
