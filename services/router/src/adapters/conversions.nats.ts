import { BUCKETS, MeteringUsageRatedV1, OutcomeRecordedV1, type Attribution } from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import { restoreConversion, snapshotConversion, DEFAULT_OUTCOME_WINDOW_MS } from '@meritorder/margin-core';
import { decodeJson, type Bus } from '@meritorder/messaging';
import type { Source } from '../application/learned-orgs.js';
import type { ConversionReading } from '../application/ports.js';
import { MemoryConversions } from './conversions.memory.js';
import type { EventsFeed } from './events-feed.nats.js';
import { LearnedBucket, Remembered } from './learned-bucket.nats.js';

/**
 * Conversions from rated usage and recorded outcomes. Every router hears of all of them, so all learn the same; what they know is
 * left in a bucket, from which comes again what there was no room for.
 */
export class LearningConversions extends MemoryConversions {
  private readonly remembered = new Remembered();
  readonly kept: LearnedBucket;

  constructor(
    bus: Bus,
    feed: EventsFeed,
    clock: Clock,
    private readonly onError: (message: string) => void,
  ) {
    super(clock);
    this.kept = new LearnedBucket(
      bus,
      feed,
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
    this.hear('metering.usage-rated.v1', MeteringUsageRatedV1, (event, source) => this.heardUsage(event, source));
    this.hear('outcome.recorded.v1', OutcomeRecordedV1, (event, source) => this.heardOutcome(event, source));
  }

  async close(): Promise<void> {
    await this.kept.close();
  }

  override read(attribution: Attribution): ConversionReading {
    this.kept.use(attribution.org);
    return super.read(attribution);
  }

  private hear<T>(
    subject: string,
    schema: Parameters<typeof decodeJson<T>>[0],
    learn: (event: T, source: Source) => void,
  ): void {
    this.kept.on(subject, (data, source) => {
      try {
        learn(decodeJson(schema, data), source);
      } catch (error) {
        this.onError(`${subject} taught nothing of conversions: ${(error as Error).message}`);
      }
    });
  }

  private heardUsage(event: MeteringUsageRatedV1, source: Source): void {
    if (event.revision !== 1 || (event.outcome !== undefined && event.outcome !== 'finished')) return;
    if (!this.remembered.isNew(event.attemptId)) return;
    this.kept.teach(
      event.attribution.org,
      () => {
        this.learnUsage(event);
        return true;
      },
      source,
    );
  }

  private heardOutcome(event: OutcomeRecordedV1, source: Source): void {
    const { org } = event.attribution;
    const { converted } = event;
    if (event.kind !== 'conversion' || converted === undefined) return;
    if (!this.remembered.isNew(`${org}/${event.requestId}/${event.outcomeId}`)) return;
    this.kept.teach(
      org,
      () => {
        this.learnOutcome({ ...event, converted });
        return true;
      },
      source,
    );
  }
}
