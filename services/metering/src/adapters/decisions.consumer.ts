import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DURABLES, STREAMS, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { isRefusedData, keepDecisions } from '@meritorder/ledger-store';
import { PoisonMessage, runConsumer, type Delivery, type RunningConsumer } from '@meritorder/messaging';
import { meter } from '@meritorder/telemetry';
import { recordedOutcome } from '../application/outcome-of.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

/** A record of 50 candidates has about 40 kB. */
const MAX_BATCH = 100;

/** `routing.decision-made`: what was decided, kept for explanations, replays and outcomes. */
@Injectable()
export class DecisionsConsumer implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(DecisionsConsumer.name);
  private consumer: RunningConsumer | undefined;
  private readonly kept = meter().createCounter('meritorder_decisions_kept', {
    description: 'Decisions put on record',
  });

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  onApplicationBootstrap(): void {
    this.consumer = runConsumer(this.metering.bus, {
      stream: STREAMS.events.name,
      durable: DURABLES.metering,
      maxBatch: MAX_BATCH,
      handle: (batch) => this.handle(batch),
      onError: (error) => this.log.warn(`decisions: ${(error as Error).message}`),
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.consumer?.drain();
  }

  private async handle(batch: Delivery[]): Promise<void> {
    const decided: { record: RoutingDecisionMadeV1; delivery: Delivery }[] = [];
    for (const delivery of batch) {
      try {
        const { data: record } = delivery.decode(['routing.decision-made.v1']);
        // The copy of an org: the whole comes on the subject of the operator.
        if (!record.budgetsWithheld) decided.push({ record, delivery });
      } catch (error) {
        if (!(error instanceof PoisonMessage)) throw error;
        await this.bury(delivery, error.message);
      }
    }
    try {
      await this.keep(decided.map((d) => d.record));
    } catch (error) {
      if (!isRefusedData(error)) throw error;
      await this.oneByOne(decided);
    }
  }

  private async keep(records: readonly RoutingDecisionMadeV1[]): Promise<void> {
    const { kept } = await keepDecisions(this.metering.database, records, recordedOutcome);
    this.kept.add(kept);
  }

  /** One that the database cannot hold must not hold up the others. */
  private async oneByOne(decided: readonly { record: RoutingDecisionMadeV1; delivery: Delivery }[]): Promise<void> {
    for (const { record, delivery } of decided) {
      try {
        await this.keep([record]);
      } catch (error) {
        if (!isRefusedData(error)) throw error;
        await this.bury(delivery, `it cannot be kept: ${(error as Error).message}`);
      }
    }
  }

  private async bury(delivery: Delivery, reason: string): Promise<void> {
    this.log.error(`decision ${delivery.streamSequence} goes to the dead letters: ${reason}`);
    await delivery.deadLetter(reason);
  }
}
