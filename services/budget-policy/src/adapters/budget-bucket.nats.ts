import { BUCKETS, BUDGET_COUNT_KEY, type BudgetDefinition } from '@meritorder/contracts';
import { followBucket, openBucket, type Bus } from '@meritorder/messaging';

type Bucket = Awaited<ReturnType<typeof openBucket>>;

const TRIES = 5;

interface Entry {
  revision: number;
  /** Undefined: deleted. */
  text: string | undefined;
}

/**
 * The bucket that routers follow. Several instances may write it, so every write names the revision it replaces, and none
 * replaces a newer limit by an older one.
 */
export class BudgetBucket {
  private readonly mirror = new Map<string, Entry>();
  private following: { stop(): void } | undefined;

  private constructor(private readonly bucket: Bucket) {}

  static async open(bus: Bus): Promise<BudgetBucket> {
    const opened = new BudgetBucket(await openBucket(bus, BUCKETS.budgets.name));
    await opened.follow(bus);
    return opened;
  }

  close(): void {
    this.following?.stop();
  }

  /** Ids that routers see. */
  ids(): string[] {
    return [...this.mirror].flatMap(([id, entry]) => (entry.text === undefined || id === BUDGET_COUNT_KEY ? [] : [id]));
  }

  /** Says how many budgets there are, so that a router which hears of fewer knows that it does not know all. */
  async count(budgets: number): Promise<void> {
    const text = JSON.stringify({ budgets });
    if (this.mirror.get(BUDGET_COUNT_KEY)?.text === text) return;
    this.note(BUDGET_COUNT_KEY, { revision: await this.bucket.put(BUDGET_COUNT_KEY, text), text });
  }

  /** Whether something was written. */
  async put(definition: BudgetDefinition): Promise<boolean> {
    const text = JSON.stringify(definition);
    return this.change(definition.id, (entry) => {
      if (entry?.text === text) return false;
      const newer = entry?.text !== undefined && isNewer(JSON.parse(entry.text) as BudgetDefinition, definition);
      if (newer) return false;
      return entry?.text === undefined
        ? this.bucket.create(definition.id, text).then((revision) => ({ revision, text }))
        : this.bucket.update(definition.id, text, entry.revision).then((revision) => ({ revision, text }));
    });
  }

  async remove(id: string): Promise<boolean> {
    return this.change(id, (entry) => {
      if (entry?.text === undefined) return false;
      return this.bucket
        .delete(id, { previousSeq: entry.revision })
        .then(() => ({ revision: entry.revision, text: undefined }));
    });
  }

  /** Looks again when somebody else was faster. */
  private async change(id: string, write: (entry: Entry | undefined) => Promise<Entry> | false): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      const writing = write(this.mirror.get(id));
      if (writing === false) return false;
      try {
        this.note(id, await writing);
        return true;
      } catch (error) {
        if (attempt === TRIES || !/wrong last sequence|key exists/i.test((error as Error).message)) throw error;
        const current = await this.bucket.get(id);
        if (current)
          this.note(id, {
            revision: current.revision,
            text: current.operation === 'PUT' ? current.string() : undefined,
          });
        else this.mirror.delete(id);
      }
    }
  }

  private note(id: string, entry: Entry): void {
    const known = this.mirror.get(id);
    if (!known || entry.revision >= known.revision) this.mirror.set(id, entry);
  }

  private async follow(bus: Bus): Promise<void> {
    this.following = await followBucket(bus, BUCKETS.budgets.name, (entry) =>
      this.note(entry.key, {
        revision: entry.revision,
        text: entry.operation === 'PUT' ? entry.string() : undefined,
      }),
    );
  }
}

/** By what counters compare limits with, and the window that was carried into. */
function isNewer(a: BudgetDefinition, b: BudgetDefinition): boolean {
  if (a.limitVersion !== b.limitVersion) return a.limitVersion > b.limitVersion;
  const [inA, inB] = [a.carry?.window ?? '', b.carry?.window ?? ''];
  if (inA !== inB) return inA > inB;
  return (a.carry?.revision ?? 0) > (b.carry?.revision ?? 0);
}
