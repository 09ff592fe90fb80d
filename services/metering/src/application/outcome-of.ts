import type { ExportedDecision, OutcomeRecordedV1, OutcomeReport, RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { usdToNanos } from '@meritorder/kernel';
import type { Outcome } from '@meritorder/ledger-store';
import { qualityOfOutcome } from '@meritorder/quality-core';

/**
 * A report as it is kept. What is true or false is kept as 1 or 0; a conversion without a value is one.
 * @param receivedAt RFC 3339
 */
export function outcomeOf(org: string, report: OutcomeReport, receivedAt: string): Outcome {
  const value = report.value ?? (report.kind === 'conversion' ? true : null);
  return {
    org,
    requestId: report.request_id,
    outcomeId: report.outcome_id ?? report.kind,
    kind: report.kind,
    value: value === null ? null : Number(value),
    revenueNanos: report.revenue_usd === undefined ? null : usdToNanos(report.revenue_usd),
    occurredAt: report.occurred_at ?? receivedAt,
    reportedAt: receivedAt,
  };
}

/** Clocks of two machines may differ by so much. */
const CLOCKS_DIFFER_MS = 5 * 60_000;
const DAY_MS = 86_400_000;

/**
 * What is wrong with the time that a report says it happened at; undefined: nothing. A delay is learned from it.
 * @param keptDays so long a decision stays on record: nothing earlier can be of a request
 */
export function wrongTime(
  { occurred_at: said }: OutcomeReport,
  receivedAt: string,
  keptDays: number,
): string | undefined {
  if (said === undefined) return undefined;
  const agoMs = Date.parse(receivedAt) - Date.parse(said);
  if (agoMs < -CLOCKS_DIFFER_MS) return `occurred_at: ${said} is yet to come`;
  return agoMs > keptDays * DAY_MS
    ? `occurred_at: ${said} is more than ${keptDays} days ago, and decisions are kept no longer`
    : undefined;
}

/** The fact to publish: what the outcome says, with what was decided for its request. */
export function recordedOutcome(
  outcome: Outcome,
  decision: RoutingDecisionMadeV1,
  wasConverted: boolean,
): OutcomeRecordedV1 {
  const { kind } = outcome;
  const reading = readingOf(outcome);
  return {
    outcomeId: outcome.outcomeId,
    requestId: outcome.requestId,
    ...(decision.attemptId === undefined ? {} : { attemptId: decision.attemptId }),
    attribution: decision.attribution,
    backend: decision.choice!,
    kind,
    ...reading,
    ...(reading?.converted === undefined ? {} : { wasConverted }),
    ...(outcome.revenueNanos === null ? {} : { revenueNanos: outcome.revenueNanos.toString() }),
    tags: decision.tags ?? [],
    ...(decision.promptFeatures === undefined ? {} : { promptFeatures: decision.promptFeatures }),
    decidedAt: decision.decidedAt,
    reportedAt: outcome.reportedAt,
    occurredAt: outcome.occurredAt,
  };
}

/** What outcomes of one request say of its quality together; undefined: nothing. */
export function qualityOfAll(outcomes: readonly Pick<Outcome, 'kind' | 'value'>[]): ExportedDecision['quality'] {
  let sum = 0;
  let weight = 0;
  for (const outcome of outcomes) {
    const { quality } = readingOf(outcome) ?? {};
    sum += quality ? quality.weight * quality.value : 0;
    weight += quality?.weight ?? 0;
  }
  return weight > 0 ? { value: sum / weight, weight } : undefined;
}

function readingOf({ kind, value }: Pick<Outcome, 'kind' | 'value'>): ReturnType<typeof qualityOfOutcome> {
  const isTruth = kind === 'thumbs' || kind === 'schema' || kind === 'conversion';
  return qualityOfOutcome({ kind, value: value === null ? undefined : isTruth ? value === 1 : value });
}
