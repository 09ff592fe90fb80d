import { BUCKETS, MeteringUsageRatedV1, OutcomeRecordedV1, type Attribution } from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import { restoreConversion, snapshotConversion, DEFAULT_OUTCOME_WINDOW_MS } from '@meritorder/margin-core';
import { decodeJson, type Bus } from '@meritorder/messaging';
import type { Subscription } from '@nats-io/transport-node';
import type { ConversionReading } from '../application/ports.js';
import { MemoryConversions } from './conversions.memory.js';
import { LearnedBucket, Remembered } from './learned-bucket.nats.js';

/**
 * Conversions from rated usage and recorded outcomes. Every router hears of all of them, so all learn the same; what they know is
 * left in a bucket, from which comes again what there was no room for.
 */
export class LearningConversions extends MemoryConversions {
  private readonly remembered = new Remembered();
  readonly kept: LearnedBucket;
  private subscriptions: Subscription[] = [];

  constructor(
    private readonly bus: Bus,
    clock: Clock,
    private readonly onError: (message: string) => void,
  ) {
    super(clock);
    this.kept = new LearnedBucket(
      bus,
      { bucket: BUCKETS.learning.name, prefix: 'conversion.' },
      {
        snapshotOf: (org) => {
          const state = this.stateOf(org);
          return state && snapshotConversion(state);
        },
        restore: (org, snapshot) => {
          const state = restoreConversion(snapshot, DEFAULT_OUTCOME_WINDOW_MS);
          if (state) this.restore(org, state);
          return state !== undefined;
        },
        forget: (org) => this.forget(org),
      },
      onError,
    );
  }

  async start(): Promise<void> {
    await this.kept.start();
    this.subscriptions = [
      this.hear('metering.usage-rated.v1.*', (data) => this.heardUsage(decodeJson(MeteringUsageRatedV1, data))),
      this.hear('outcome.recorded.v1.*', (data) => this.heardOutcome(decodeJson(OutcomeRecordedV1, data))),
    ];
  }

  async close(): Promise<void> {
    for (const subscription of this.subscriptions) subscription.unsubscribe();
    await this.kept.close();
  }

  override read(attribution: Attribution): ConversionReading {
    this.kept.use(attribution.org);
    return super.read(attribution);
  }

  private hear(subject: string, learn: (data: Uint8Array) => void): Subscription {
    return this.bus.nats.subscribe(subject, {
      callback: (_error, message) => {
        try {
          learn(message.data);
        } catch (error) {
          this.onError(`${subject} taught nothing of conversions: ${(error as Error).message}`);
        }
      },
    });
  }

  private heardUsage(event: MeteringUsageRatedV1): void {
    if (event.revision !== 1 || (event.outcome !== undefined && event.outcome !== 'finished')) return;
    if (!this.remembered.isNew(event.attemptId)) return;
    this.kept.teach(event.attribution.org, () => {
      this.learnUsage(event);
      return true;
    });
  }

  private heardOutcome(event: OutcomeRecordedV1): void {
    const { org } = event.attribution;
    const { converted } = event;
    if (event.kind !== 'conversion' || converted === undefined) return;
    if (!this.remembered.isNew(`${org}/${event.requestId}/${event.outcomeId}`)) return;
    this.kept.teach(org, () => {
      this.learnOutcome({ ...event, converted });
      return true;
    });
  }
}
