import type { Msg, Subscription } from '@nats-io/transport-node';
import { BaseRpcContext, Server, type CustomTransportStrategy, type MessageHandler } from '@nestjs/microservices';
import type { Bus } from '@meritorder/messaging';
import { lastValueFrom } from 'rxjs';

/** What a handler of a public subject gets beside the raw bytes. */
export class NatsContext extends BaseRpcContext<[Msg]> {
  get message(): Msg {
    return this.getArgByIndex(0);
  }
}

/**
 * Nest's transport for plain NATS subjects. The one that Nest ships reads its own envelope, so a client that publishes an
 * OpenAI body would get no answer from it. Here `@MessagePattern('subject.*')` receives the bytes as they are, in a queue
 * group named after the service (`extras: { queue: false }` for every instance), and the handler answers where its rules allow:
 * a reply subject that a publisher names is never answered by the transport itself.
 */
export class NatsSubjectServer extends Server implements CustomTransportStrategy {
  private readonly subscriptions: Subscription[] = [];

  constructor(
    private readonly bus: Bus,
    private readonly queue: string,
  ) {
    super();
  }

  listen(callback: (error?: Error) => void): void {
    for (const [pattern, handler] of this.messageHandlers) this.subscribe(pattern, handler);
    this.bus.nats.flush().then(
      () => callback(),
      (error: Error) => callback(error),
    );
  }

  /** Stops taking messages; those in hand go on. */
  async close(): Promise<void> {
    await Promise.all(this.subscriptions.splice(0).map((s) => (s.isClosed() ? undefined : s.drain().catch(() => {}))));
  }

  on(): void {
    throw new Error('the NATS subject server has no events');
  }

  unwrap<T>(): T {
    return this.bus.nats as T;
  }

  private subscribe(pattern: string, handler: MessageHandler): void {
    const everyInstance = handler.extras?.['queue'] === false;
    this.subscriptions.push(
      this.bus.nats.subscribe(pattern, {
        ...(everyInstance ? {} : { queue: this.queue }),
        callback: (error, message) => {
          if (error) this.logger.error(`${pattern}: ${error.message}`);
          else void this.handle(pattern, handler, message);
        },
      }),
    );
  }

  private async handle(pattern: string, handler: MessageHandler, message: Msg): Promise<void> {
    try {
      const result: unknown = await handler(message.data, new NatsContext([message]));
      await lastValueFrom(this.transformToObservable(result), { defaultValue: undefined });
    } catch (error) {
      this.logger.error(`${pattern}: ${(error as Error).stack ?? String(error)}`);
    }
  }
}
