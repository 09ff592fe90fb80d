import { invariant } from '@meritorder/kernel';

/** What one attempt asks of a station. */
export interface Work {
  /** Counted by its engine's prefill rate. */
  inputTokens: number;
  outputTokens: number;
}

/** Where attempts are worked on: a replica of own hardware, or the workers that call a provider. */
export interface Station {
  readonly capacity: number;
  /** Worked on. */
  readonly inFlight: number;
  /** In front of it, first come, first served. */
  readonly waiting: number;
  /** When the next attempt is finished, ms; Infinity when there is none. */
  readonly nextEndMs: number;
  /** @param attempt a number that is in no station */
  enter(attempt: number, work: Work, nowMs: number): void;
  /** Takes out the attempt that ends at `nextEndMs`. */
  finish(): number;
}

/** Seconds of an attempt alone, and among so many. */
export interface EngineRates {
  prefillTokensPerSecond: number;
  /** By batch; index 0 is not used, the last is the capacity. */
  decodeTokensPerSecond: readonly number[];
}

/**
 * A replica whose requests in flight share it: with n of them each advances in a second by `1 / (n x (input / prefill +
 * output / decode(n)))` of itself, which is what fleet-core's shape of an engine that batches says. Exact between events: what is
 * left of each is brought forward whenever one comes or ends, so an event costs a pass over those in flight.
 */
export class SharedReplica implements Station {
  readonly capacity: number;
  inFlight = 0;
  nextEndMs = Infinity;
  private readonly queue: { attempt: number; work: Work }[] = [];
  private head = 0;
  private readonly attempts: Int32Array;
  private readonly left: Float64Array;
  private readonly prefillSeconds: Float64Array;
  private readonly outputTokens: Float64Array;
  private atMs = 0;
  private next = -1;

  constructor(private readonly rates: EngineRates) {
    this.capacity = rates.decodeTokensPerSecond.length - 1;
    invariant(this.capacity >= 1, 'a replica takes a request');
    this.attempts = new Int32Array(this.capacity);
    this.left = new Float64Array(this.capacity);
    this.prefillSeconds = new Float64Array(this.capacity);
    this.outputTokens = new Float64Array(this.capacity);
  }

  get waiting(): number {
    return this.queue.length - this.head;
  }

  enter(attempt: number, work: Work, nowMs: number): void {
    if (this.inFlight === this.capacity) {
      this.queue.push({ attempt, work });
      return;
    }
    this.advance(nowMs);
    this.start(attempt, work);
    this.plan();
  }

  finish(): number {
    const slot = this.next;
    invariant(slot >= 0, 'nothing is worked on');
    this.advance(this.nextEndMs);
    const attempt = this.attempts[slot]!;
    const last = --this.inFlight;
    this.attempts[slot] = this.attempts[last]!;
    this.left[slot] = this.left[last]!;
    this.prefillSeconds[slot] = this.prefillSeconds[last]!;
    this.outputTokens[slot] = this.outputTokens[last]!;
    if (this.waiting > 0) {
      const { attempt: first, work } = this.queue[this.head++]!;
      this.start(first, work);
      if (this.head === this.queue.length) this.queue.length = this.head = 0;
    }
    this.plan();
    return attempt;
  }

  private start(attempt: number, work: Work): void {
    const slot = this.inFlight++;
    this.attempts[slot] = attempt;
    this.left[slot] = 1;
    this.prefillSeconds[slot] = Math.max(1, work.inputTokens) / this.rates.prefillTokensPerSecond;
    this.outputTokens[slot] = Math.max(1, work.outputTokens);
  }

  private advance(toMs: number): void {
    const n = this.inFlight;
    const seconds = (toMs - this.atMs) / 1_000;
    this.atMs = toMs;
    if (n === 0 || seconds <= 0) return;
    const decode = this.rates.decodeTokensPerSecond[n]!;
    for (let i = 0; i < n; i++)
      this.left[i]! -= seconds / (n * (this.prefillSeconds[i]! + this.outputTokens[i]! / decode));
  }

  private plan(): void {
    const n = this.inFlight;
    const decode = this.rates.decodeTokensPerSecond[n]!;
    let [soonest, next] = [Infinity, -1];
    for (let i = 0; i < n; i++) {
      const seconds = this.left[i]! * n * (this.prefillSeconds[i]! + this.outputTokens[i]! / decode);
      if (seconds < soonest) [soonest, next] = [seconds, i];
    }
    this.next = next;
    this.nextEndMs = next < 0 ? Infinity : this.atMs + Math.max(0, soonest) * 1_000;
  }
}

/** A provider's batches: all that is asked is taken, and answered when the provider promises it at the latest. */
export class Batches implements Station {
  readonly capacity = Infinity;
  readonly waiting = 0;
  private readonly answers: { attempt: number; endMs: number }[] = [];
  private head = 0;

  constructor(private readonly completionSeconds: number) {}

  get inFlight(): number {
    return this.answers.length - this.head;
  }

  get nextEndMs(): number {
    return this.answers[this.head]?.endMs ?? Infinity;
  }

  enter(attempt: number, _work: Work, nowMs: number): void {
    this.answers.push({ attempt, endMs: nowMs + this.completionSeconds * 1_000 });
  }

  finish(): number {
    const first = this.answers[this.head];
    invariant(first !== undefined, 'nothing is worked on');
    this.head += 1;
    if (this.head === this.answers.length) this.answers.length = this.head = 0;
    return first.attempt;
  }
}

/** Slots that do not slow each other down: a provider, or own hardware of which no speed is configured. */
export class Slots implements Station {
  inFlight = 0;
  private readonly queue: { attempt: number; seconds: number }[] = [];
  private head = 0;
  private readonly ends: Float64Array;
  private readonly attempts: Int32Array;

  constructor(
    readonly capacity: number,
    private readonly seconds: (work: Work) => number,
  ) {
    this.ends = new Float64Array(capacity);
    this.attempts = new Int32Array(capacity);
  }

  get waiting(): number {
    return this.queue.length - this.head;
  }

  get nextEndMs(): number {
    return this.inFlight > 0 ? this.ends[0]! : Infinity;
  }

  enter(attempt: number, work: Work, nowMs: number): void {
    const seconds = this.seconds(work);
    if (this.inFlight === this.capacity) this.queue.push({ attempt, seconds });
    else this.push(attempt, nowMs + seconds * 1_000);
  }

  finish(): number {
    invariant(this.inFlight > 0, 'nothing is worked on');
    const { ends, attempts } = this;
    const [attempt, endMs] = [attempts[0]!, ends[0]!];
    const last = --this.inFlight;
    if (last > 0) this.sink(ends[last]!, attempts[last]!);
    if (this.waiting > 0) {
      const first = this.queue[this.head++]!;
      this.push(first.attempt, endMs + first.seconds * 1_000);
      if (this.head === this.queue.length) this.queue.length = this.head = 0;
    }
    return attempt;
  }

  /** A binary heap by end; of equal ends whichever, so long as it is always the same. */
  private push(attempt: number, endMs: number): void {
    const { ends, attempts } = this;
    let at = this.inFlight++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (ends[parent]! <= endMs) break;
      ends[at] = ends[parent]!;
      attempts[at] = attempts[parent]!;
      at = parent;
    }
    ends[at] = endMs;
    attempts[at] = attempt;
  }

  private sink(endMs: number, attempt: number): void {
    const { ends, attempts, inFlight } = this;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= inFlight) break;
      if (child + 1 < inFlight && ends[child + 1]! < ends[child]!) child += 1;
      if (ends[child]! >= endMs) break;
      ends[at] = ends[child]!;
      attempts[at] = attempts[child]!;
      at = child;
    }
    ends[at] = endMs;
    attempts[at] = attempt;
  }
}
