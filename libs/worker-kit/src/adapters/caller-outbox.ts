import type { NatsConnection, PublishOptions } from '@nats-io/transport-node';

/**
 * Messages to callers, of all attempts of a process, in order. What backends sent until the end of a turn of the event loop goes
 * out as one write: the client writes after every callback otherwise, and under load a write for each chunk costs more than all
 * else that is done with it.
 */
export class CallerOutbox {
  private waiting: [subject: string, body: string, options: PublishOptions][] = [];

  constructor(private readonly nats: Pick<NatsConnection, 'publish' | 'isClosed'>) {}

  publish(subject: string, body: string, options: PublishOptions): void {
    if (this.waiting.push([subject, body, options]) === 1) setImmediate(() => this.flush());
  }

  private flush(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const message of waiting) {
      // A process that has lost NATS ends: its callers are told by the router.
      if (this.nats.isClosed()) return;
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
