import type { BookedAttempt, RoutingDecisionMadeV1 } from '@meritorder/contracts';
import type { DataSource } from 'typeorm';
import { inTransaction } from './database.js';
import { joinWaiting, type OutcomeEvent } from './outcomes.js';

/** Most decisions of one request that are read. */
const MOST_ATTEMPTS = 1_000;

/**
 * Keeps decisions that are not kept yet, and joins outcomes that waited for them, in one transaction. Repeating it changes
 * nothing.
 * @returns how many decisions were new, and how many outcomes they were joined with.
 */
export async function keepDecisions(
  source: DataSource,
  records: readonly RoutingDecisionMadeV1[],
  eventOf: OutcomeEvent,
): Promise<{ kept: number; joined: number }> {
  if (records.length === 0) return { kept: 0, joined: 0 };
  // In one order everywhere, so that two who keep the same ones wait for each other instead of locking each other out.
  const sorted = records.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  return inTransaction(source, async (manager) => {
    const fresh: { org: string; request_id: string }[] = await manager.query(
      `insert into decisions (org, request_id, decision_id, attempt_number, attempt_id, choice, decided_at, record)
       select * from unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::timestamptz[], $8::jsonb[])
       on conflict do nothing returning org, request_id`,
      [
        sorted.map((r) => r.attribution.org),
        sorted.map((r) => r.requestId),
        sorted.map(decisionId),
        sorted.map((r) => r.attemptNumber),
        sorted.map((r) => r.attemptId ?? null),
        sorted.map((r) => r.choice),
        sorted.map((r) => r.decidedAt),
        sorted.map((r) => JSON.stringify(r)),
      ],
    );
    const joined = await joinWaiting(
      manager,
      fresh.map((r) => ({ org: r.org, requestId: r.request_id })),
      eventOf,
    );
    return { kept: fresh.length, joined: joined.length };
  });
}

function decisionId({ attemptId, attemptNumber, decidedAt }: RoutingDecisionMadeV1): string {
  return attemptId ?? `refused-${attemptNumber}-${decidedAt}`;
}

function keyOf(record: RoutingDecisionMadeV1): string {
  return `${record.requestId}/${record.attribution.org}/${decisionId(record)}`;
}

export interface StoredDecision {
  org: string;
  record: RoutingDecisionMadeV1;
  booked: BookedAttempt | null;
}

/** What was decided for a request, by org, oldest first, with what the books hold of each attempt. */
export async function decisionsOf(
  source: DataSource,
  { requestId, org }: { requestId: string; org?: string | undefined },
): Promise<StoredDecision[]> {
  const rows: {
    org: string;
    record: RoutingDecisionMadeV1;
    state: BookedAttempt['state'] | null;
    outcome: string | null;
    cash_nanos: string | null;
    full_nanos: string | null;
    charged_nanos: string | null;
  }[] = await source.query(
    `select d.org, d.record, a.state, a.outcome, s.cash_nanos, s.full_nanos, s.charged_nanos
     from decisions d
       left join attempt a on a.attempt_id = d.attempt_id and a.org = d.org
       left join attempt_settled s on s.attempt_id = a.attempt_id
     where d.request_id = $1 and ($2::text is null or d.org = $2)
     order by d.org, d.decided_at, d.attempt_number limit $3`,
    [requestId, org ?? null, MOST_ATTEMPTS],
  );
  return rows.map((r) => ({
    org: r.org,
    record: r.record,
    booked:
      r.state === null
        ? null
        : {
            state: r.state,
            outcome: r.outcome,
            cashNanos: r.cash_nanos,
            fullNanos: r.full_nanos,
            ...(r.charged_nanos === null ? {} : { chargedNanos: r.charged_nanos }),
          },
  }));
}

/** Forgets decisions from before an instant, and the outcomes that were reported before it, at most `limit` of each. */
export async function pruneDecisions(
  source: DataSource,
  before: Date,
  limit: number,
): Promise<{ decisions: number; outcomes: number }> {
  const pruned = async (table: 'decisions' | 'outcomes', at: string): Promise<number> => {
    const [row]: { n: number }[] = await source.query(
      `with gone as (delete from ${table} where ctid = any(array(
         select ctid from ${table} where ${at} < $1 order by ${at} limit $2 for update skip locked)) returning 1)
       select count(*)::int as n from gone`,
      [before, limit],
    );
    return row!.n;
  };
  return {
    decisions: await pruned('decisions', 'decided_at'),
    outcomes: await pruned('outcomes', 'reported_at'),
  };
}
