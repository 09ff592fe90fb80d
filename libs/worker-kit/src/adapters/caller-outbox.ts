import type { NatsConnection, PublishOptions } from '@nats-io/transport-node';

/** A later chunk of a stream waits at most so long for those of other streams: less than lies between two of 100 tokens a second. */
export const GATHERED_MS = 8;

/**
 * Messages to callers, of all attempts of a process, in order. Under load a write for each chunk costs more than all else that is
 * done with it, here and in the server: so what comes within GATHERED_MS of a write goes out together with the next one. What a
 * caller waits for, an answer, an end, the first chunk of a stream, takes what is gathered with it at the end of the turn of the
 * event loop; so does any chunk when nothing was written lately, and where there is one stream none waits.
 */
export class CallerOutbox {
  private waiting: [subject: string, body: string | Uint8Array, options: PublishOptions][] = [];
  private timer: NodeJS.Timeout | undefined;
  private isFlushing = false;
  private writtenAtMs = -Infinity;

  constructor(private readonly nats: Pick<NatsConnection, 'publish' | 'isClosed' | 'isDraining'>) {}

  /** @param canWait of a chunk that others of its stream went before */
  publish(subject: string, body: string | Uint8Array, options: PublishOptions, canWait = false): void {
    this.waiting.push([subject, body, options]);
    if (this.isFlushing) return;
    const waitMs = canWait ? this.writtenAtMs + GATHERED_MS - performance.now() : 0;
    if (waitMs > 0) {
      this.timer ??= setTimeout(() => this.flush(), waitMs);
      return;
    }
    this.isFlushing = true;
    setImmediate(() => this.flush());
  }

  /** What waits goes out now: to be called before the connection is drained, which takes nothing more. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.isFlushing = false;
    this.writtenAtMs = performance.now();
    const { waiting } = this;
    this.waiting = [];
    for (const message of waiting) {
      // A process that has lost NATS, or leaves it, ends: its callers are told by the router.
      if (this.nats.isClosed() || this.nats.isDraining()) return;
      this.nats.publish(...message);
    }
  }
}

const OUTBOXES = new WeakMap<object, CallerOutbox>();

/** The one of a connection. */
export function outboxOf(nats: NatsConnection): CallerOutbox {
  let outbox = OUTBOXES.get(nats);
  if (!outbox) OUTBOXES.set(nats, (outbox = new CallerOutbox(nats)));
  return outbox;
}
