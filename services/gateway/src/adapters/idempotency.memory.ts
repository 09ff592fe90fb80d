import type { Clock } from '@meritorder/kernel';
import type { IdempotencyClaim, IdempotencyStore, StoredAnswer } from '../application/ports/idempotency.js';

interface Entry {
  fingerprint: string;
  requestId: string;
  untilMs: number;
  answer: StoredAnswer | undefined;
}

const KEPT_MS = 24 * 60 * 60 * 1_000;

/** Of one gateway, which forgets them when it ends. The oldest answers make room for new ones. */
export class MemoryIdempotency implements IdempotencyStore {
  /** In the order of their claims. */
  private readonly entries = new Map<string, Entry>();
  private bytes = 0;

  constructor(
    private readonly clock: Clock,
    private readonly maxBytes = 64_000_000,
    private readonly maxEntries = 100_000,
  ) {}

  async claim(org: string, key: string, fingerprint: string, requestId: string): Promise<IdempotencyClaim> {
    this.makeRoom();
    const name = `${org}/${key}`;
    const known = this.entries.get(name);
    if (!known) {
      this.entries.set(name, { fingerprint, requestId, untilMs: this.clock.nowMs() + KEPT_MS, answer: undefined });
      return { state: 'claimed' };
    }
    if (known.fingerprint !== fingerprint) return { state: 'mismatch' };
    return known.answer ? { state: 'finished', ...known.answer } : { state: 'in-flight' };
  }

  async finish(org: string, key: string, requestId: string, answer: StoredAnswer): Promise<void> {
    const known = this.entries.get(`${org}/${key}`);
    if (known?.requestId !== requestId) return;
    known.answer = answer;
    this.bytes += answer.body.length;
  }

  async abandon(org: string, key: string, requestId: string): Promise<void> {
    const name = `${org}/${key}`;
    if (this.entries.get(name)?.requestId === requestId) this.entries.delete(name);
  }

  private makeRoom(): void {
    for (const [name, { untilMs, answer }] of this.entries) {
      const full = this.bytes > this.maxBytes || this.entries.size > this.maxEntries;
      const old = untilMs <= this.clock.nowMs();
      if (!full && !old) break;
      // What is in flight would be run twice.
      if (!old && !answer) continue;
      this.entries.delete(name);
      this.bytes -= answer?.body.length ?? 0;
    }
  }
}
