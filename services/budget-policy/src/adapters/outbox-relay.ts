import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { STREAMS, type EventType } from '@meritorder/contracts';
import { onOutboxCommit, relayOutbox } from '@meritorder/ledger-store';
import { contextOf, type EventBody } from '@meritorder/messaging';
import { Repeating } from '@meritorder/service-kit';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';

/** What others put there: this process hears of its own at once. */
const RELAY_EVERY_MS = 500;
const REST_MS = 25;
const BATCH = 500;
/** Well within the time that the stream remembers message ids. */
const SURELY_REMEMBERED_MS = 60_000;

/** Publishes the events of budgets from the outbox, each once, however long it was down. */
@Injectable()
export class OutboxRelay implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(OutboxRelay.name);
  private readonly relay = new Repeating(RELAY_EVERY_MS, () => this.publish(), REST_MS);

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {}

  onApplicationBootstrap(): void {
    onOutboxCommit(this.policy.database, 'budget-policy', () => this.relay.wake());
    this.relay.start((error) => {
      this.policy.went('publishing events', error);
      if (error) this.log.warn(error.message);
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.relay.stop();
  }

  private async publish(): Promise<boolean> {
    const { bus, database } = this.policy;
    const published = await relayOutbox(database, 'budget-policy', BATCH, async (row) => {
      // The stream forgets message ids after its window; a relay that was down for longer looks before it speaks.
      if (
        Date.now() - Date.parse(row.occurredAt) > SURELY_REMEMBERED_MS &&
        (await this.isPublished(row.subject, row.messageId))
      )
        return;
      await bus.publishEvent({
        type: row.type,
        subject: row.subject,
        id: row.messageId,
        time: row.occurredAt,
        data: row.body as EventBody<EventType>,
        context: contextOf(row.traceparent),
      });
    });
    return published === BATCH;
  }

  private async isPublished(subject: string, messageId: string): Promise<boolean> {
    const manager = await this.policy.bus.manager();
    let sequence = 1;
    for (;;) {
      const found = await manager.streams
        .getMessage(STREAMS.events.name, nextOf(subject, sequence))
        .catch((error: Error) => {
          if (/no message found/i.test(error.message)) return null;
          throw error;
        });
      if (!found) return false;
      if (found.header?.get('ce-id') === messageId) return true;
      sequence = found.seq + 1;
    }
  }
}

/** The API knows `next_by_subj`; the client's types do not. */
function nextOf(subject: string, sequence: number): { seq: number } {
  const query = { seq: sequence, next_by_subj: subject };
  return query;
}
