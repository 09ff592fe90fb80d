import { BUCKETS } from '@meritorder/contracts';
import { openBucket, readBucket, type Bus } from '@meritorder/messaging';

const SAVE_EVERY_MS = 60_000;

/** The shared pool among names of orgs; a key of the bucket cannot be empty, and no org is called so. */
export const POOL = '';
const POOL_KEY = '_pool';
/** Snapshots of states that gave way wait for the next save; so many do not. */
const MOST_LEAVING = 64;

/**
 * What a router has learned, left in the bucket LEARNING under keys of one prefix for a router that starts. Every router hears of
 * the same facts and so learns the same: whoever saves last says what all would say.
 */
export class LearnedBucket {
  private readonly changed = new Set<string>();
  /** Snapshots of what is no longer in memory and not yet in the bucket. */
  private readonly leaving = new Map<string, string>();
  private timer: NodeJS.Timeout | undefined;
  private saving = Promise.resolve();

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
      if (!restore(this.nameOf(key), jsonOf(entry)))
        this.onError(`what was learned under ${key} cannot be read; it is learned anew`);
    }
    this.timer = setInterval(() => void this.save(), SAVE_EVERY_MS);
    this.timer.unref();
  }

  mark(name: string): void {
    this.changed.add(name);
  }

  /** It leaves memory: what is not yet kept of it will be. */
  giveWay(name: string, snapshot: unknown): void {
    if (!this.changed.delete(name)) return;
    this.leaving.set(name, JSON.stringify(snapshot));
    if (this.leaving.size >= MOST_LEAVING) void this.save();
  }

  /** What is kept under a name; undefined: nothing. */
  async read(name: string): Promise<unknown> {
    const leaving = this.leaving.get(name);
    if (leaving !== undefined) return JSON.parse(leaving);
    const bucket = await openBucket(this.bus, BUCKETS.learning.name);
    const entry = await bucket.get(this.keyOf(name));
    return entry?.operation === 'PUT' ? jsonOf(entry) : undefined;
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.save();
  }

  private save(): Promise<void> {
    return (this.saving = this.saving.then(() => this.saveNow()));
  }

  private async saveNow(): Promise<void> {
    const names = [...this.changed];
    this.changed.clear();
    const snapshots = new Map(this.leaving);
    for (const name of names) {
      const snapshot = this.snapshotOf(name);
      if (snapshot !== undefined) snapshots.set(name, JSON.stringify(snapshot));
    }
    const failed = new Set<string>();
    let why = '';
    for (const [name, snapshot] of snapshots) {
      try {
        const bucket = await openBucket(this.bus, BUCKETS.learning.name);
        await bucket.put(this.keyOf(name), snapshot);
        if (this.leaving.get(name) === snapshot) this.leaving.delete(name);
      } catch (error) {
        why ||= `${this.keyOf(name)}: ${(error as Error).message}`;
        failed.add(name);
        if (!this.leaving.has(name)) this.changed.add(name);
      }
    }
    if (failed.size > 0) this.onError(`what was learned could not be kept under ${failed.size} keys: ${why}`);
  }

  private keyOf(name: string): string {
    return this.prefix + (name === POOL ? POOL_KEY : name);
  }

  private nameOf(key: string): string {
    const name = key.slice(this.prefix.length);
    return name === POOL_KEY ? POOL : name;
  }
}

/** Undefined: it cannot be read. */
function jsonOf(entry: { json(): unknown }): unknown {
  try {
    return entry.json();
  } catch {
    return undefined;
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
