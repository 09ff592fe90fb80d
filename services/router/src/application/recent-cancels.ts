/** Longer than it takes to write a cancel down. */
const REMEMBERED_MS = 10_000;
const MOST = 10_000;

/**
 * Cancels that were heard a moment ago. A cancel of a job is written down a few milliseconds after every router has heard it: one
 * that takes the job up in between finds nothing written, and nothing of it was in flight to be stopped.
 */
export class RecentCancels {
  private readonly heardMs = new Map<string, number>();

  add(org: string, request: string, nowMs: number): void {
    const key = `${org}.${request}`;
    this.heardMs.delete(key);
    this.heardMs.set(key, nowMs);
    for (const [oldest, atMs] of this.heardMs) {
      if (this.heardMs.size <= MOST && nowMs - atMs <= REMEMBERED_MS) return;
      this.heardMs.delete(oldest);
    }
  }

  has(org: string, request: string, nowMs: number): boolean {
    const atMs = this.heardMs.get(`${org}.${request}`);
    return atMs !== undefined && nowMs - atMs <= REMEMBERED_MS;
  }
}
