import {
  BUCKETS,
  MeteringUsageRatedV1,
  OutcomeRecordedV1,
  QualityModelShiftedV1,
  subjects,
  type MeritorderConfig,
} from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import { decodeJson, type Bus } from '@meritorder/messaging';
import { restoreQuality, snapshotQuality, type QualityShift } from '@meritorder/quality-core';
import { meter } from '@meritorder/telemetry';
import type { Source } from '../application/learned-orgs.js';
import type { Qualities, QualityReading } from '../application/ports.js';
import type { EventsFeed } from './events-feed.nats.js';
import { LearnedBucket, Remembered } from './learned-bucket.nats.js';
import { MemoryQualities } from './quality.memory.js';

/**
 * What answers turned out to be worth, from recorded outcomes, and rated usage where these are complaints alone. Every router hears
 * of all of them, so all learn the same; what they know is left in a bucket, from which comes again what there was no room for.
 */
export class LearningQualities extends MemoryQualities {
  private readonly remembered = new Remembered();
  private readonly answered = new Remembered();
  readonly kept: LearnedBucket;
  private readonly lessons = meter().createCounter('meritorder_quality_lessons', {
    description: 'Outcomes that taught what answers are worth',
  });
  private readonly shifts = meter().createCounter('meritorder_quality_shifts', {
    description: 'Models that answer otherwise than they did',
  });

  constructor(
    config: Pick<MeritorderConfig, 'orgs' | 'backends'>,
    private readonly bus: Bus,
    feed: EventsFeed,
    clock: Clock,
    private readonly onError: (message: string) => void,
  ) {
    super(config, clock);
    this.kept = new LearnedBucket(
      bus,
      feed,
      { bucket: BUCKETS.learning.name, prefix: 'quality.', poolKey: 'quality._pool' },
      {
        snapshotOf: (org) => {
          const state = this.stateOf(org);
          return state && snapshotQuality(state);
        },
        restore: (org, snapshot) => {
          const state = restoreQuality(snapshot);
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
    this.kept.on('outcome.recorded.v1', (data, source) => this.heard(data, source));
    this.kept.on('metering.usage-rated.v1', (data, source) => this.heardUsage(data, source));
    this.kept.on('quality.model-shifted.v1', (data, source) => this.heardShift(data, source));
  }

  async close(): Promise<void> {
    await this.kept.close();
  }

  override read(request: Parameters<Qualities['read']>[0]): QualityReading {
    this.kept.use(request.attribution.org);
    return super.read(request);
  }

  private heard(data: Uint8Array, source: Source): void {
    try {
      this.take(decodeJson(OutcomeRecordedV1, data), source);
    } catch (error) {
      this.onError(`an outcome taught nothing: ${(error as Error).message}`);
    }
  }

  private heardUsage(data: Uint8Array, source: Source): void {
    try {
      const event = decodeJson(MeteringUsageRatedV1, data);
      if (event.revision !== 1 || (event.outcome !== undefined && event.outcome !== 'finished')) return;
      if (!event.expected?.tags || !this.answered.isNew(event.attemptId)) return;
      const { org } = event.attribution;
      this.kept.teach(
        org,
        () => {
          const isCounted = this.learnUsage(event);
          if (isCounted && this.shares(org)) this.kept.markPool();
          return isCounted;
        },
        source,
      );
    } catch (error) {
      this.onError(`an answer was not counted: ${(error as Error).message}`);
    }
  }

  private take(event: OutcomeRecordedV1, source: Source): void {
    const { org } = event.attribution;
    if (!event.quality || !this.remembered.isNew(`${org}/${event.requestId}/${event.outcomeId}`)) return;
    this.kept.teach(
      org,
      () => {
        const taught = this.learn(event);
        if (!taught) return false;
        if (this.shares(org)) this.kept.markPool();
        this.lessons.add(1);
        if (taught.shift) void this.tell(event, taught.shift);
        return true;
      },
      source,
    );
  }

  /** Every router that notices it says the same under the same identity, which the stream keeps once. */
  private async tell({ attribution: { org }, backend: id }: OutcomeRecordedV1, shift: QualityShift): Promise<void> {
    const { backends } = this.config;
    const { provider, model } = backends.find((b) => b.id === id)!;
    const replicas = backends.filter((b) => b.provider === provider && b.model === model).map((b) => b.id);
    const event = shiftEvent(org, { provider, model, backends: replicas }, shift);
    this.shifts.add(1, { org, backend: id, direction: shift.direction });
    try {
      await this.bus.publishEvent({
        type: 'quality.model-shifted.v1',
        subject: subjects.qualityModelShifted(org),
        id: `${org}/${provider}/${model}/${shift.direction}/${event.since}`,
        time: event.noticedAt,
        data: event,
      });
    } catch (error) {
      this.onError(`${event.reason}; nobody was told: ${(error as Error).message}`);
    }
  }

  private heardShift(data: Uint8Array, source: Source): void {
    try {
      const event = decodeJson(QualityModelShiftedV1, data);
      this.kept.teach(event.org, () => this.adopt(event), source);
    } catch (error) {
      this.onError(`a shift of quality was not understood: ${(error as Error).message}`);
    }
  }
}

function shiftEvent(
  org: string,
  of: Pick<QualityModelShiftedV1, 'provider' | 'model' | 'backends'>,
  { direction, expected, observed, outcomes, deviations, threshold, sinceMs, noticedAtMs }: QualityShift,
): QualityModelShiftedV1 {
  const since = new Date(sinceMs).toISOString();
  return {
    org,
    ...of,
    metric: 'quality',
    direction,
    before: expected,
    after: observed,
    evidence: { outcomes, deviations, threshold },
    since,
    noticedAt: new Date(noticedAtMs).toISOString(),
    reason: `${of.model} of ${of.provider} answers ${direction} than it did: ${observed.toFixed(2)} where ${expected.toFixed(2)} was expected of the same ${outcomes} outcomes, since ${since}`,
  };
}
