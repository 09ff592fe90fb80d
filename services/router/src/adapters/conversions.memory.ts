import type { Attribution, MeteringUsageRatedV1, OutcomeRecordedV1 } from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import {
  conversionSegment,
  emptyOrgConversion,
  learnConversion,
  learnTrial,
  predictConversion,
  predictRevenue,
  type OrgConversion,
} from '@meritorder/margin-core';
import type { ConversionReading, Conversions } from '../application/ports.js';

/** Requests of which it is known whether they converted, so that a second purchase does not count as another conversion. */
const MOST_CONVERTED = 100_000;

/**
 * P(conversion) by segment (tier, then feature) and backend: every answer that was paid for is a trial, every reported conversion
 * an outcome. Nothing is learned across orgs.
 */
export class MemoryConversions implements Conversions {
  private readonly orgs = new Map<string, OrgConversion>();
  private readonly converted = new Map<string, boolean>();

  constructor(private readonly clock: Clock) {}

  /** What is known of an org. */
  stateOf(org: string): OrgConversion | undefined {
    return this.orgs.get(org);
  }

  restore(org: string, state: OrgConversion): void {
    this.orgs.set(org, state);
  }

  forget(org: string): void {
    this.orgs.delete(org);
  }

  read(attribution: Attribution): ConversionReading {
    const state = this.orgs.get(attribution.org) ?? NOTHING_LEARNED;
    const segment = conversionSegment(attribution);
    return {
      revenue: (configuredUsd) => predictRevenue(state, segment, configuredUsd),
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

  /** An answer that was paid for. */
  learnUsage(event: MeteringUsageRatedV1): void {
    const trial = {
      segment: conversionSegment(event.attribution),
      backend: event.backend,
      requestedAtMs: Date.parse(event.occurredAt),
      ...(event.expected?.quality === undefined ? {} : { quality: event.expected.quality }),
    };
    learnTrial(this.ofOrg(event.attribution.org), trial, this.clock.nowMs());
  }

  /** Whether a request converted, as it was reported. */
  learnOutcome(event: OutcomeRecordedV1 & { converted: boolean }): void {
    const { org } = event.attribution;
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
  }

  private ofOrg(org: string): OrgConversion {
    let known = this.orgs.get(org);
    if (known === undefined) this.orgs.set(org, (known = emptyOrgConversion(this.clock.nowMs())));
    return known;
  }
}

/** A backend without trials: no id of a backend is empty. */
const NOBODY = '';
const NOTHING_LEARNED = emptyOrgConversion(0);
