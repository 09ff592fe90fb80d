import { BUCKETS, type BudgetPolicy } from '@meritorder/contracts';
import { openBucket, type Bus } from '@meritorder/messaging';

type Bucket = Awaited<ReturnType<typeof openBucket>>;

/** What routers follow. Written by one instance at a time, and only where something that a router acts on has changed. */
export class PolicyBucket {
  private readonly mirror = new Map<string, { revision: number; policy: BudgetPolicy | undefined }>();
  private watch: Awaited<ReturnType<Bucket['watch']>> | undefined;

  private constructor(private readonly bucket: Bucket) {}

  static async open(bus: Bus): Promise<PolicyBucket> {
    const opened = new PolicyBucket(await openBucket(bus, BUCKETS.policy.name));
    await opened.follow();
    return opened;
  }

  close(): void {
    this.watch?.stop();
  }

  budgets(): string[] {
    return [...this.mirror].flatMap(([budget, { policy }]) => (policy ? [budget] : []));
  }

  /** Whether something was written. */
  async put(policy: BudgetPolicy): Promise<boolean> {
    const known = this.mirror.get(policy.budget);
    if (known?.policy && isSame(known.policy, policy)) return false;
    this.note(policy.budget, await this.bucket.put(policy.budget, JSON.stringify(policy)), policy);
    return true;
  }

  async remove(budget: string): Promise<void> {
    const known = this.mirror.get(budget);
    if (!known?.policy) return;
    await this.bucket.delete(budget);
    this.mirror.set(budget, { revision: known.revision, policy: undefined });
  }

  private note(budget: string, revision: number, policy: BudgetPolicy | undefined): void {
    const known = this.mirror.get(budget);
    if (!known || revision >= known.revision) this.mirror.set(budget, { revision, policy });
  }

  private async follow(): Promise<void> {
    const { promise: seen, resolve } = Promise.withResolvers<void>();
    if ((await this.bucket.status()).values === 0) resolve();
    const watch = await this.bucket.watch();
    this.watch = watch;
    void (async () => {
      for await (const entry of watch) {
        this.note(entry.key, entry.revision, entry.operation === 'PUT' ? entry.json<BudgetPolicy>() : undefined);
        if (entry.delta === 0) resolve();
      }
    })();
    await seen;
  }
}

/** A sentence that is worded anew with every projection is no change. */
function isSame(a: BudgetPolicy, b: BudgetPolicy): boolean {
  return (['window', 'shadowPrice', 'spareRoomNanos', 'stage', 'pinned', 'paused'] as const).every(
    (key) => a[key] === b[key],
  );
}
