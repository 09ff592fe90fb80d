const MINUTE_MS = 60_000;

/** Requests a minute in fixed windows, the first of which begins with the first request. */
export class RateWindow {
  #endsAtMs = -Infinity;
  #used = 0;

  /** Milliseconds of real time to wait (0 = admitted). A minute of simulated time is `minuteMs` of real time. */
  take(limit: number, nowMs: number, timeScale: number): number {
    if (limit === 0) return 0;
    if (nowMs >= this.#endsAtMs) {
      this.#endsAtMs = nowMs + MINUTE_MS / timeScale;
      this.#used = 0;
    }
    if (this.#used >= limit) return this.#endsAtMs - nowMs;
    this.#used++;
    return 0;
  }

  remaining(limit: number): number {
    return Math.max(0, limit - this.#used);
  }
}

/** Places for calls that are processed at once, and a line in order of arrival. A limit of 0 is no limit. */
export class Slots {
  #limit: number;
  #running = 0;
  readonly #line = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#line.size;
  }

  setLimit(limit: number): void {
    this.#limit = limit;
    this.#admitWaiting();
  }

  tryEnter(): boolean {
    if (this.#limit > 0 && this.#running >= this.#limit) return false;
    this.#running++;
    return true;
  }

  /** Joins the line; `go` is called with the place already taken. Returns what leaves the line (no-op after `go`). */
  wait(go: () => void): () => void {
    this.#line.add(go);
    return () => void this.#line.delete(go);
  }

  leave(): void {
    this.#running--;
    this.#admitWaiting();
  }

  #admitWaiting(): void {
    for (const go of this.#line) {
      if (!this.tryEnter()) return;
      this.#line.delete(go);
      go();
    }
  }
}

/** While it is closed no call of the model gets any answer. */
export class Gate {
  #closed = false;
  readonly #held = new Set<() => void>();

  get closed(): boolean {
    return this.#closed;
  }

  get held(): number {
    return this.#held.size;
  }

  set(closed: boolean): void {
    this.#closed = closed;
    if (closed) return;
    const held = [...this.#held];
    this.#held.clear();
    for (const go of held) go();
  }

  wait(go: () => void): () => void {
    this.#held.add(go);
    return () => void this.#held.delete(go);
  }
}
