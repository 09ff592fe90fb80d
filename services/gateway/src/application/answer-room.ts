/** Eight of the largest. */
const MOST_BYTES = 8 * 64 * 1024 * 1024;

/** An answer that comes in parts, and is held until its last one. */
export interface HeldAnswer {
  /** There is room: the next part may come. */
  goOn(): void;
}

interface Held {
  bytes: number;
  waits: boolean;
}

/**
 * The memory of one process for answers in parts. While it is full nothing more is asked of whoever sends them, but for the answer
 * that began first, so that one always ends. One that waits for longer than a reader may is ended by its worker.
 */
export class AnswerRoom {
  /** In the order in which they began. */
  private readonly held = new Map<HeldAnswer, Held>();
  private bytes = 0;

  constructor(private readonly mostBytes = MOST_BYTES) {}

  /** Holds one more part, and asks for the next one when there is room for it. */
  take(answer: HeldAnswer, bytes: number): void {
    const held = this.held.get(answer) ?? { bytes: 0, waits: false };
    this.held.set(answer, held);
    held.bytes += bytes;
    held.waits = true;
    this.bytes += bytes;
    this.goOn();
  }

  /** It ended, in whichever way. */
  leave(answer: HeldAnswer): void {
    this.bytes -= this.held.get(answer)?.bytes ?? 0;
    if (this.held.delete(answer)) this.goOn();
  }

  private goOn(): void {
    let isFirst = true;
    for (const [answer, held] of this.held) {
      if (held.waits && (isFirst || this.bytes < this.mostBytes)) {
        held.waits = false;
        answer.goOn();
      }
      isFirst = false;
    }
  }
}
