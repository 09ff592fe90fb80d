import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Msg, Subscription } from '@nats-io/transport-node';
import { headers } from '@nats-io/transport-node';
import { DELIVERY_REFUSED, STREAMS, subjects, subscriberDurable } from '@meritorder/contracts';
import { runConsumer, type Delivery, type RunningConsumer } from '@meritorder/messaging';
import { newId } from '@meritorder/kernel';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';

const ACK_TIMEOUT_MS = 20_000;
const NOBODY_THERE_MS = 1_000;
const IN_FLIGHT_PER_SUBSCRIBER = 16;

/**
 * Hands the events of an org to its subscribers, each by its own durable consumer, until they are acknowledged: a message on
 * `deliver.v1.<org>.<subscriber>` whose reply subject takes the acknowledgement. Org users touch no JetStream subject
 * themselves (ADR 4), and need no JetStream client.
 */
@Injectable()
export class OrgDelivery implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(OrgDelivery.name);
  private readonly consumers: RunningConsumer[] = [];
  private readonly waiting = new Map<string, (acknowledged: boolean) => void>();
  private subscription: Subscription | undefined;
  private inbox: Subscription | undefined;

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {}

  onApplicationBootstrap(): void {
    const { bus, config } = this.policy;
    this.subscription = bus.nats.subscribe('deliver-ack.v1.>', {
      callback: (error, message) => {
        if (!error) this.acknowledge(message);
      },
    });
    for (const org of config.orgs) {
      for (const subscriber of org.subscribers) {
        this.consumers.push(
          runConsumer(bus, {
            stream: STREAMS.events.name,
            durable: subscriberDurable(org.id, subscriber.name),
            maxBatch: 1,
            concurrency: IN_FLIGHT_PER_SUBSCRIBER,
            handle: ([delivery]) => this.deliver(org.id, subscriber.name, delivery!),
            onError: (error) => this.log.warn(`${org.id}/${subscriber.name}: ${(error as Error).message}`),
          }),
        );
      }
    }
  }

  async onApplicationShutdown(): Promise<void> {
    for (const answer of this.waiting.values()) answer(false);
    await Promise.all(this.consumers.map((c) => c.drain()));
    this.subscription?.unsubscribe();
    this.inbox?.unsubscribe();
  }

  private async deliver(org: string, subscriber: string, delivery: Delivery): Promise<void> {
    const id = newId();
    const ack = subjects.deliveryAck(org, subscriber, id);
    const h = headers();
    for (const key of delivery.headers?.keys() ?? [])
      if (!key.startsWith('Nats-')) h.set(key, delivery.headers!.get(key));
    h.set('Meritorder-Subject', delivery.subject);
    h.set('Meritorder-Delivery', String(delivery.deliveryCount));
    const answered = new Promise<boolean>((resolve) => {
      this.waiting.set(id, resolve);
      setTimeout(() => resolve(false), ACK_TIMEOUT_MS).unref();
    });
    this.policy.bus.nats.publish(subjects.delivery(org, subscriber), delivery.data, { headers: h, reply: ack });
    const acknowledged = await answered.finally(() => this.waiting.delete(id));
    if (!acknowledged) delivery.retry(NOBODY_THERE_MS);
  }

  private acknowledge(message: Msg): void {
    const [, , org, subscriber, id] = message.subject.split('.');
    // Also NATS' own "no responders", which comes back on the reply subject when nobody is subscribed.
    const nobody = message.data.length === 0 && message.headers?.code === 503;
    const refused = message.string() === DELIVERY_REFUSED;
    if (org && subscriber && id) this.waiting.get(id)?.(!nobody && !refused);
  }
}
