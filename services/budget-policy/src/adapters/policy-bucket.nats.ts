import { BUCKETS, type BudgetPolicy } from '@meritorder/contracts';
import { followBucket, openBucket, type Bus } from '@meritorder/messaging';

type Bucket = Awaited<ReturnType<typeof openBucket>>;

/** What routers follow. Written by one instance at a time, and only where something that a router acts on has changed. */
export class PolicyBucket {
  private readonly mirror = new Map<string, { revision: number; policy: BudgetPolicy | undefined }>();
  private following: { stop(): void } | undefined;

  private constructor(private readonly bucket: Bucket) {}

  static async open(bus: Bus): Promise<PolicyBucket> {
    const opened = new PolicyBucket(await openBucket(bus, BUCKETS.policy.name));
    await opened.follow(bus);
    return opened;
  }

  close(): void {
    this.following?.stop();
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

  private async follow(bus: Bus): Promise<void> {
    this.following = await followBucket(bus, BUCKETS.policy.name, (entry) =>
      this.note(entry.key, entry.revision, entry.operation === 'PUT' ? entry.json<BudgetPolicy>() : undefined),
    );
  }
}

/** A sentence that is worded anew with every projection is no change. */
function isSame(a: BudgetPolicy, b: BudgetPolicy): boolean {
  return (['window', 'shadowPrice', 'spareRoomNanos', 'stage', 'pinned', 'paused'] as const).every(
    (key) => a[key] === b[key],
  );
}
