import { describe, expect, it } from 'vitest';
import { EXAMPLES, OutcomeRecordedV1, OutcomeReport, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { outcomeOf, recordedOutcome, wrongTime } from './outcome-of.js';

const decision = {
  ...(EXAMPLES.events['routing.decision-made.v1'] as RoutingDecisionMadeV1),
  tags: ['feature=chat', 'org'],
  promptFeatures: 'AAAA',
};
const at = '2026-11-24T10:00:00.000Z';
const recorded = (report: Record<string, unknown>): OutcomeRecordedV1 =>
  OutcomeRecordedV1.parse(
    recordedOutcome(
      outcomeOf('acme', OutcomeReport.parse({ request_id: decision.requestId, ...report }), at),
      decision,
      false,
    ),
  );

describe('a recorded outcome', () => {
  it.each([
    [{ kind: 'thumbs', value: true }, { quality: { value: 1, weight: 1 } }],
    [{ kind: 'thumbs', value: false }, { quality: { value: 0, weight: 1 } }],
    [{ kind: 'schema', value: true }, { quality: { value: 1, weight: 0.3 } }],
    [{ kind: 'judge', value: 1 }, { quality: { value: 1, weight: 1 } }],
    [{ kind: 'edit', value: 0.25 }, { quality: { value: 0.25, weight: 0.7 } }],
    [{ kind: 'retry' }, { quality: { value: 0, weight: 0.5 } }],
    [
      { kind: 'conversion', revenue_usd: '19.99' },
      { converted: true, wasConverted: false, revenueNanos: '19990000000' },
    ],
    [
      { kind: 'conversion', outcome_id: 'refund', value: false, revenue_usd: '-19.99' },
      { converted: false, wasConverted: false, revenueNanos: '-19990000000' },
    ],
  ])('says what was reported, and what was decided: %j', (report, expected) => {
    expect(recorded(report)).toEqual({
      outcomeId: 'outcome_id' in report ? report.outcome_id : report.kind,
      requestId: decision.requestId,
      attemptId: decision.attemptId,
      attribution: decision.attribution,
      backend: 'gpt-4-1-mini',
      kind: report.kind,
      tags: decision.tags,
      promptFeatures: 'AAAA',
      decidedAt: decision.decidedAt,
      reportedAt: at,
      occurredAt: at,
      ...expected,
    });
  });

  it('keeps when it happened apart from when it came in', () => {
    const happened = '2026-11-20T00:00:00.000Z';
    expect(recorded({ kind: 'retry', occurred_at: happened })).toMatchObject({ occurredAt: happened, reportedAt: at });
  });

  it.each([
    ['2026-11-26T10:04:00Z', undefined],
    ['2026-08-28T10:00:00Z', undefined],
    ['2026-11-26T10:06:00Z', 'yet to come'],
    ['2999-01-01T00:00:00Z', 'yet to come'],
    ['2026-08-28T09:59:59Z', 'more than 90 days ago'],
    ['1970-01-01T00:00:00Z', 'more than 90 days ago'],
  ])('that happened at %s, heard of at ten: %s', (occurred_at, wrong) => {
    const said = wrongTime({ request_id: 'r', kind: 'retry', occurred_at }, '2026-11-26T10:00:00Z', 90);
    if (wrong === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(wrong);
  });
});
