import { OutcomeRecordedV1, type MeritorderConfig } from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import { decodeJson, type Bus } from '@meritorder/messaging';
import { restoreQuality, snapshotQuality } from '@meritorder/quality-core';
import { meter } from '@meritorder/telemetry';
import type { Subscription } from '@nats-io/transport-node';
import { LearnedBucket, Remembered } from './learned-bucket.nats.js';
import { MemoryQualities, POOL } from './quality.memory.js';

/**
 * What answers turned out to be worth, from recorded outcomes. Every router hears of every outcome, so all learn the same; what
 * they know is left in a bucket for one that starts.
 */
export class LearningQualities extends MemoryQualities {
  private readonly remembered = new Remembered();
  private readonly kept: LearnedBucket;
  private subscription: Subscription | undefined;
  private readonly lessons = meter().createCounter('meritorder_quality_lessons', {
    description: 'Outcomes that taught what answers are worth',
  });
  private readonly shifts = meter().createCounter('meritorder_quality_shifts', {
    description: 'Models that answer otherwise than they did',
  });

  constructor(
    config: Pick<MeritorderConfig, 'orgs' | 'backends'>,
    private readonly bus: Bus,
    clock: Clock,
    private readonly onError: (message: string) => void,
  ) {
    super(config, clock);
    this.kept = new LearnedBucket(
      bus,
      'quality.',
      (org) => {
        const state = this.stateOf(org);
        return state && snapshotQuality(state);
      },
      onError,
    );
  }

  async start(): Promise<void> {
    await this.kept.start((org, snapshot) => {
      const state = restoreQuality(snapshot);
      if (state) this.restore(org, state);
      return state !== undefined;
    });
    this.subscription = this.bus.nats.subscribe('outcome.recorded.v1.*', {
      callback: (_error, message) => this.heard(message.data),
    });
  }

  async close(): Promise<void> {
    this.subscription?.unsubscribe();
    await this.kept.close();
  }

  private heard(data: Uint8Array): void {
    try {
      this.take(decodeJson(OutcomeRecordedV1, data));
    } catch (error) {
      this.onError(`an outcome taught nothing: ${(error as Error).message}`);
    }
  }

  private take(event: OutcomeRecordedV1): void {
    const { org } = event.attribution;
    if (!event.quality || !this.remembered.isNew(`${org}/${event.requestId}/${event.outcomeId}`)) return;
    const taught = this.learn(event);
    if (!taught) return;
    this.kept.mark(org);
    if (this.shares(org)) this.kept.mark(POOL);
    this.lessons.add(1);
    const { shift } = taught;
    if (shift) {
      this.shifts.add(1, { org, backend: event.backend, direction: shift.direction });
      this.onError(
        `${event.backend} answers ${shift.direction} than it did for ${org} (its mean was ${shift.qualityBefore.toFixed(2)}); what was known of it counts little from now on`,
      );
    }
  }
}
