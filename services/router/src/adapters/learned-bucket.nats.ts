import { BUCKETS } from '@meritorder/contracts';
import { openBucket, readBucket, type Bus } from '@meritorder/messaging';

const SAVE_EVERY_MS = 60_000;

/**
 * What a router has learned, left in the bucket LEARNING under keys of one prefix for a router that starts. Every router hears of
 * the same facts and so learns the same: whoever saves last says what all would say.
 */
export class LearnedBucket {
  private readonly changed = new Set<string>();
  private saving: NodeJS.Timeout | undefined;

  /** @param snapshotOf what is known under a name; undefined: nothing */
  constructor(
    private readonly bus: Bus,
    private readonly prefix: string,
    private readonly snapshotOf: (name: string) => unknown,
    private readonly onError: (message: string) => void,
  ) {}

  /** Hands over everything that is kept, and from then on keeps what is marked. @param restore false: it cannot be read */
  async start(restore: (name: string, snapshot: unknown) => boolean): Promise<void> {
    for (const [key, entry] of await readBucket(this.bus, BUCKETS.learning.name)) {
      if (!key.startsWith(this.prefix)) continue;
      let snapshot: unknown;
      try {
        snapshot = entry.json();
      } catch {
        snapshot = undefined;
      }
      if (!restore(key.slice(this.prefix.length), snapshot))
        this.onError(`what was learned under ${key} cannot be read; it is learned anew`);
    }
    this.saving = setInterval(() => void this.save(), SAVE_EVERY_MS);
    this.saving.unref();
  }

  mark(name: string): void {
    this.changed.add(name);
  }

  async close(): Promise<void> {
    clearInterval(this.saving);
    await this.save();
  }

  private async save(): Promise<void> {
    const names = [...this.changed];
    this.changed.clear();
    if (names.length === 0) return;
    try {
      const bucket = await openBucket(this.bus, BUCKETS.learning.name);
      for (const name of names) {
        const snapshot = this.snapshotOf(name);
        if (snapshot !== undefined) await bucket.put(this.prefix + name, JSON.stringify(snapshot));
      }
    } catch (error) {
      for (const name of names) this.changed.add(name);
      this.onError(`what was learned (${this.prefix}) could not be kept: ${(error as Error).message}`);
    }
  }
}

/** Identities of facts that were learned, so that a repeated delivery teaches nothing. */
export class Remembered {
  private readonly seen = new Set<string>();

  constructor(private readonly most = 20_000) {}

  isNew(identity: string): boolean {
    if (this.seen.has(identity)) return false;
    this.seen.add(identity);
    if (this.seen.size > this.most) this.seen.delete(this.seen.values().next().value!);
    return true;
  }
}
