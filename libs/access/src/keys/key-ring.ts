import { BUCKETS, KeyEntry, type KeyConfig, type MeritorderConfig } from '@meritorder/contracts';
import { systemClock, type Clock } from '@meritorder/kernel';
import { decodeJson, followBucket, type BucketEntry, type Bus } from '@meritorder/messaging';
import { configuredKeys, type KnownKey } from './configured-keys.js';
import { digestOf } from './secrets.js';

/** Longer ones are no keys, and are not hashed. */
const MAX_SECRET_LENGTH = 512;
const CHECK_EVERY_MS = 2_000;
/** Without proof for so long that every change was heard, keys that were made at run time are not accepted. */
export const STALE_AFTER_MS = 10_000;

interface Mirror {
  following?: { stop(): void };
  entries: Map<string, KeyEntry>;
  /** The newest revision of the bucket that was heard. */
  heard: number;
}

export interface KeyRingOptions {
  config: Pick<MeritorderConfig, 'orgs'>;
  bus: Bus;
  /** Reads a key of the configuration from the environment or a file. */
  secretOf: (name: string) => string | undefined;
  clock?: Clock;
  onError?: (message: string) => void;
  /** Default 2 s; tests ask more often. */
  checkEveryMs?: number;
  staleAfterMs?: number;
}

/**
 * Which keys there are: those of the configuration, and those of the bucket KEYS as they come and go. A look-up reads memory
 * alone. That a watch is quiet proves nothing, so the bucket is asked every two seconds how far it has come; while that is not
 * known, or not heard, for longer than ten, no key of the bucket is found: it may have been revoked.
 */
export class KeyRing {
  private readonly configured: ReadonlyMap<string, KnownKey>;
  private readonly clock: Clock;
  private readonly onError: (message: string) => void;
  private readonly staleAfterMs: number;
  private mirror: Mirror | undefined;
  private bucketMadeAt = '';
  private provenAtMs = Number.NEGATIVE_INFINITY;
  private closed = false;
  private checking: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;

  private constructor(private readonly options: KeyRingOptions) {
    this.configured = configuredKeys(options.config, options.secretOf);
    this.clock = options.clock ?? systemClock;
    this.onError = options.onError ?? (() => {});
    this.staleAfterMs = options.staleAfterMs ?? STALE_AFTER_MS;
  }

  /** Resolves once all keys are known. @throws Error when the bucket cannot be read, or a configured secret is missing. */
  static async open(options: KeyRingOptions): Promise<KeyRing> {
    const ring = new KeyRing(options);
    try {
      await ring.check();
    } catch (error) {
      ring.close();
      throw new Error(
        `cannot read the bucket ${BUCKETS.keys.name}: ${(error as Error).message}; has the provision step run?`,
      );
    }
    ring.checkAgain();
    return ring;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.mirror?.following?.stop();
  }

  /** Whose key this is, if it is one, now. */
  find(presented: string): KnownKey | undefined {
    if (presented.length > MAX_SECRET_LENGTH) return undefined;
    const digest = digestOf(presented);
    const configured = this.configured.get(digest);
    if (configured) return configured;
    const entry = this.stale() === undefined ? this.mirror?.entries.get(digest) : undefined;
    if (!entry || entry.revoked) return undefined;
    if (entry.expiresAt !== undefined && Date.parse(entry.expiresAt) <= this.clock.nowMs()) return undefined;
    const { org, revision: _revision, revoked: _revoked, expiresAt: _expiresAt, ...key } = entry;
    return { org, key: key satisfies KeyConfig };
  }

  /** Why no key of the bucket is found at the moment; undefined: all are known. */
  stale(): string | undefined {
    const forMs = this.clock.nowMs() - this.provenAtMs;
    if (forMs <= this.staleAfterMs) return undefined;
    return `no word of the keys for ${Math.floor(forMs / 1_000)} s`;
  }

  private checkAgain(): void {
    this.timer = setTimeout(() => {
      this.checking = this.check()
        .catch((error: Error) => this.onError(`the bucket ${BUCKETS.keys.name}: ${error.message}`))
        .finally(() => {
          if (!this.closed) this.checkAgain();
        });
    }, this.options.checkEveryMs ?? CHECK_EVERY_MS);
    this.timer.unref();
  }

  /** Proves that the mirror has heard all that is in the bucket, or begins a new one. */
  private async check(): Promise<void> {
    const askedAtMs = this.clock.nowMs();
    const manager = await this.options.bus.manager();
    const info = await manager.streams.info(`KV_${BUCKETS.keys.name}`);
    if (this.closed) return;
    const behind = !this.mirror || this.mirror.heard < info.state.last_seq;
    // A bucket that was lost and made anew counts from the beginning; one that stays behind has lost its watch.
    if (info.created !== this.bucketMadeAt || !this.mirror || (behind && this.isHalfStale(askedAtMs))) {
      await this.beginAnew(info.state.last_seq);
      this.bucketMadeAt = info.created;
    } else if (behind) return;
    this.provenAtMs = askedAtMs;
  }

  private isHalfStale(nowMs: number): boolean {
    return nowMs - this.provenAtMs > this.staleAfterMs / 2;
  }

  private async beginAnew(lastSequence: number): Promise<void> {
    const next: Mirror = { entries: new Map(), heard: 0 };
    const take = (entry: BucketEntry): void => {
      this.take(next, entry.key, entry.operation === 'PUT' ? entry.value : null);
      next.heard = Math.max(next.heard, entry.revision);
    };
    next.following = await followBucket(this.options.bus, BUCKETS.keys.name, take, this.staleAfterMs);
    // What came last may have been cleared away since.
    next.heard = Math.max(next.heard, lastSequence);
    this.mirror?.following?.stop();
    this.mirror = next;
    if (this.closed) next.following.stop();
  }

  private take(mirror: Mirror, digest: string, value: Uint8Array | null): void {
    mirror.entries.delete(digest);
    if (value === null) return;
    try {
      mirror.entries.set(digest, decodeJson(KeyEntry, value));
    } catch (error) {
      // It may say that the key is revoked, so the word before it does not stay in force.
      this.onError(`the key ${digest.slice(0, 8)}... is not accepted: ${(error as Error).message}`);
    }
  }
}
