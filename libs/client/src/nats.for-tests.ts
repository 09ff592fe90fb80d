import { headers, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';

export interface FakeMessage {
  headers?: Record<string, string>;
  /** Of the status line of the headers, such as 503. */
  code?: number;
  /** A text is sent as it is. */
  body?: unknown;
  subject?: string;
  /** Called with what it is answered with; without it nobody waits for an answer. */
  onRespond?: (answer: string) => void;
}

export function messageOf({ headers: named = {}, code, body, subject = 'inbox', onRespond }: FakeMessage): Msg {
  const h = code === undefined ? headers() : headers(code, 'said the server');
  for (const [name, value] of Object.entries(named)) h.set(name, value);
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  return {
    subject,
    headers: h,
    ...(onRespond ? { reply: 'answers' } : {}),
    data: new TextEncoder().encode(text),
    json: () => JSON.parse(text) as unknown,
    respond(answer?: string) {
      onRespond?.(answer ?? '');
      return onRespond !== undefined;
    },
  } as unknown as Msg;
}

/** What comes when it is told to come, until it is unsubscribed or its connection ends. */
export class FakeSubscription {
  private readonly waiting: Msg[] = [];
  private wake: (() => void) | undefined;
  private failure: Error | undefined;
  ended = false;

  constructor(...messages: FakeMessage[]) {
    this.come(...messages);
  }

  come(...messages: FakeMessage[]): void {
    this.waiting.push(...messages.map(messageOf));
    this.wake?.();
  }

  unsubscribe(): void {
    this.ended = true;
    this.wake?.();
  }

  fail(failure: Error): void {
    this.failure = failure;
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Msg, void> {
    for (;;) {
      if (this.failure) throw this.failure;
      const next = this.waiting.shift();
      if (next) yield next;
      else if (this.ended) return;
      else await new Promise<void>((wake) => (this.wake = wake));
    }
  }

  asNats(): Subscription {
    return this as unknown as Subscription;
  }
}

export interface Sent {
  subject: string;
  body: string;
  headers: Record<string, string>;
}

/** A connection whose server is what a test says. */
export class FakeConnection {
  readonly sent: Sent[] = [];
  readonly subscription = new FakeSubscription();
  subscribed: { subject: string; options: object }[] = [];
  /** Answers requests; what it throws is what the NATS client throws. Default: nobody answers. */
  answer: (request: Sent) => Msg | Promise<Msg> = () => new Promise(() => {});
  /** Thrown by whatever is published. */
  publishError: Error | undefined;
  closed = false;

  publish(subject: string, body = '', options: { headers?: ReturnType<typeof headers> } = {}): void {
    if (this.publishError) throw this.publishError;
    this.sent.push(sentOf(subject, body, options.headers));
  }

  async request(subject: string, body: string, options: { headers?: ReturnType<typeof headers> }): Promise<Msg> {
    const request = sentOf(subject, body, options.headers);
    this.sent.push(request);
    return this.answer(request);
  }

  subscribe(subject: string, options: object = {}): Subscription {
    this.subscribed.push({ subject, options });
    return this.subscription.asNats();
  }

  isClosed(): boolean {
    return this.closed;
  }

  isDraining(): boolean {
    return false;
  }

  async flush(): Promise<void> {}

  asNats(): NatsConnection {
    return this as unknown as NatsConnection;
  }
}

function sentOf(subject: string, body: string, h: ReturnType<typeof headers> | undefined): Sent {
  return { subject, body, headers: Object.fromEntries((h?.keys() ?? []).map((name) => [name, h!.get(name)])) };
}
