import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { BUCKETS, DURABLES, STREAMS, type EventType } from '@meritorder/contracts';
import { liveWindowTotals, recordCrossings, relayOutbox, windowTotals } from '@meritorder/ledger-store';
import {
  contextOf,
  openBucket,
  PoisonMessage,
  putIfChanged,
  runConsumer,
  type Delivery,
  type EventBody,
  type RunningConsumer,
} from '@meritorder/messaging';
import { decideThresholds } from '../application/decide-thresholds.js';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';

const RELAY_EVERY_MS = 50;
const SWEEP_EVERY_MS = 5_000;
const BATCH = 500;

/**
 * Thresholds from committed totals. Rated usage says which windows to look at; a sweep over all of them catches up with
 * whatever was missed. Events leave through the outbox.
 */
@Injectable()
export class ThresholdWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(ThresholdWatch.name);
  private consumer: RunningConsumer | undefined;
  private stopped = false;
  private loops: Promise<void>[] = [];

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {}

  onApplicationBootstrap(): void {
    this.consumer = runConsumer(this.policy.bus, {
      stream: STREAMS.events.name,
      durable: DURABLES.budgetPolicy,
      maxBatch: BATCH,
      handle: (batch) => this.handle(batch),
      onError: (error) => this.log.warn(`rated usage: ${(error as Error).message}`),
    });
    this.loops = [
      this.repeat(RELAY_EVERY_MS, () => this.relay()),
      this.repeat(SWEEP_EVERY_MS, async () => {
        await this.decide(undefined);
        await this.publishBudgets();
      }),
    ];
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    await this.consumer?.drain();
    await Promise.all(this.loops);
  }

  private async handle(batch: Delivery[]): Promise<void> {
    const touched = new Map<string, { budget: string; window: string }>();
    for (const delivery of batch) {
      try {
        const { data } = delivery.decode(['metering.usage-rated.v1']);
        for (const { budget, window } of data.windows) touched.set(`${budget} ${window}`, { budget, window });
      } catch (error) {
        if (!(error instanceof PoisonMessage)) throw error;
        await delivery.deadLetter(error.message);
      }
    }
    await this.decide([...touched.values()]);
  }

  private async decide(keys: { budget: string; window: string }[] | undefined): Promise<void> {
    if (keys?.length === 0) return;
    const totals = keys ? await windowTotals(this.policy.database, keys) : await liveWindowTotals(this.policy.database);
    await recordCrossings(this.policy.database, decideThresholds(this.policy.budgets, totals, Date.now()));
  }

  private async relay(): Promise<void> {
    const { bus, database } = this.policy;
    await relayOutbox(database, 'budget-policy', BATCH, async (row) => {
      // The stream forgets message ids after its window; a relay that was down for longer looks before it speaks.
      if (Date.now() - Date.parse(row.occurredAt) > 60_000 && (await this.isPublished(row.subject, row.messageId)))
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

  /** The bucket says what is in force, also after somebody emptied it. */
  private async publishBudgets(): Promise<void> {
    const bucket = await openBucket(this.policy.bus, BUCKETS.budgets.name);
    for (const budget of this.policy.budgets.values()) await putIfChanged(bucket, budget.id, JSON.stringify(budget));
    const keys = await bucket.keys();
    for await (const key of keys) if (!this.policy.budgets.has(key)) await bucket.delete(key);
  }

  private async repeat(everyMs: number, work: () => Promise<void>): Promise<void> {
    while (!this.stopped) {
      await work().catch((error: Error) => this.log.warn(error.message));
      for (let waited = 0; waited < everyMs && !this.stopped; waited += 50) await new Promise((r) => setTimeout(r, 50));
    }
  }
}

/** The API knows `next_by_subj`; the client's types do not. */
function nextOf(subject: string, sequence: number): { seq: number } {
  const query = { seq: sequence, next_by_subj: subject };
  return query;
}
