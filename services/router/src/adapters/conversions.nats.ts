import { MeteringUsageRatedV1, OutcomeRecordedV1, type Attribution } from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import {
  conversionSegment,
  emptyOrgConversion,
  learnConversion,
  learnTrial,
  predictConversion,
  predictRevenue,
  restoreConversion,
  snapshotConversion,
  DEFAULT_OUTCOME_WINDOW_MS,
  type OrgConversion,
} from '@meritorder/margin-core';
import { decodeJson, type Bus } from '@meritorder/messaging';
import type { Subscription } from '@nats-io/transport-node';
import type { ConversionReading, Conversions } from '../application/ports.js';
import { LearnedBucket, Remembered } from './learned-bucket.nats.js';

/** Requests of which it is known whether they converted, so that a second purchase does not count as another conversion. */
const MOST_CONVERTED = 100_000;
const MOST_ORGS = 2_000;

/**
 * P(conversion) by segment (tier, then feature) and backend: every answer that was paid for is a trial, every reported conversion
 * an outcome. Nothing is learned across orgs.
 */
export class LearningConversions implements Conversions {
  private readonly orgs = new Map<string, OrgConversion>();
  private readonly converted = new Map<string, boolean>();
  private readonly remembered = new Remembered();
  private readonly kept: LearnedBucket;
  private subscriptions: Subscription[] = [];

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly onError: (message: string) => void,
  ) {
    this.kept = new LearnedBucket(
      bus,
      'conversion.',
      (org) => {
        const state = this.orgs.get(org);
        return state && snapshotConversion(state);
      },
      onError,
    );
  }

  async start(): Promise<void> {
    await this.kept.start((org, snapshot) => {
      const state = restoreConversion(snapshot, DEFAULT_OUTCOME_WINDOW_MS);
      if (state) this.orgs.set(org, state);
      return state !== undefined;
    });
    this.listen();
  }

  /** Learns from now on. */
  listen(): void {
    this.subscriptions = [
      this.hear('metering.usage-rated.v1.*', (data) => this.heardUsage(decodeJson(MeteringUsageRatedV1, data))),
      this.hear('outcome.recorded.v1.*', (data) => this.heardOutcome(decodeJson(OutcomeRecordedV1, data))),
    ];
  }

  async close(): Promise<void> {
    for (const subscription of this.subscriptions) subscription.unsubscribe();
    await this.kept.close();
  }

  read(attribution: Attribution): ConversionReading {
    const state = this.orgs.get(attribution.org) ?? NOTHING_LEARNED;
    const segment = conversionSegment(attribution);
    return {
      revenueUsd: predictRevenue(state, segment).usd,
      of: (backend, { quality, priorQuality }) => {
        const { conversion, variance, enough } = predictConversion(state, segment, backend.id, { quality });
        const unlearned = predictConversion(state, segment, NOBODY, { quality: priorQuality });
        return {
          conversion,
          conversionVariance: variance,
          conversionKnown: enough,
          priorConversion: unlearned.conversion,
        };
      },
    };
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
    const { org } = event.attribution;
    if (event.revision !== 1 || (event.outcome !== undefined && event.outcome !== 'finished')) return;
    if (!this.remembered.isNew(event.attemptId)) return;
    const trial = {
      segment: conversionSegment(event.attribution),
      backend: event.backend,
      requestedAtMs: Date.parse(event.occurredAt),
      ...(event.expected?.quality === undefined ? {} : { quality: event.expected.quality }),
    };
    learnTrial(this.ofOrg(org), trial, this.clock.nowMs());
    this.kept.mark(org);
  }

  private heardOutcome(event: OutcomeRecordedV1): void {
    const { org } = event.attribution;
    if (event.kind !== 'conversion' || event.converted === undefined) return;
    if (!this.remembered.isNew(`${org}/${event.requestId}/${event.outcomeId}`)) return;
    const request = `${org}/${event.requestId}`;
    const wasConverted = event.wasConverted ?? this.converted.get(request) ?? false;
    this.converted.delete(request);
    this.converted.set(request, event.converted);
    if (this.converted.size > MOST_CONVERTED) this.converted.delete(this.converted.keys().next().value!);
    learnConversion(
      this.ofOrg(org),
      {
        segment: conversionSegment(event.attribution),
        backend: event.backend,
        requestedAtMs: Date.parse(event.decidedAt),
        occurredAtMs: Date.parse(event.occurredAt ?? event.reportedAt),
        converted: event.converted,
        wasConverted,
        ...(event.revenueNanos === undefined ? {} : { revenueUsd: Number(event.revenueNanos) / 1e9 }),
      },
      this.clock.nowMs(),
    );
    this.kept.mark(org);
  }

  private ofOrg(org: string): OrgConversion {
    const known = this.orgs.get(org) ?? emptyOrgConversion(this.clock.nowMs());
    this.orgs.delete(org);
    this.orgs.set(org, known);
    if (this.orgs.size > MOST_ORGS) this.orgs.delete(this.orgs.keys().next().value!);
    return known;
  }
}

/** A backend without trials: no id of a backend is empty. */
const NOBODY = '';
const NOTHING_LEARNED = emptyOrgConversion(0);
