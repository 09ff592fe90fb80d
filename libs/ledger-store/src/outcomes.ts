import {
  subjects,
  type OutcomeKind,
  type OutcomeRecordedV1,
  type RoutingDecisionMadeV1,
  type StoredOutcome,
} from '@meritorder/contracts';
import { sha256Hex, type Nanos } from '@meritorder/kernel';
import type { DataSource, EntityManager } from 'typeorm';
import { inTransaction } from './database.js';
import { putOutbox } from './outbox.js';

/** An outcome as it is kept. */
export interface Outcome {
  org: string;
  requestId: string;
  outcomeId: string;
  kind: OutcomeKind;
  /** 0..1; of what is true or false, 1 or 0; null: it has none. */
  value: number | null;
  revenueNanos: Nanos | null;
  occurredAt: string;
  reportedAt: string;
}

/**
 * The fact to publish of an outcome and the decision whose attempt answered. Pure.
 * @param wasConverted whether the request had converted by what was reported of it before
 */
export type OutcomeEvent = (
  outcome: Outcome,
  decision: RoutingDecisionMadeV1,
  wasConverted: boolean,
) => OutcomeRecordedV1;

/** Most outcomes of one request. */
export const MOST_OUTCOMES_PER_REQUEST = 32;

/** Of an attempt `a`: it is known not to have answered, since it failed, or the other one of its request did. */
const SILENT = `coalesce(a.outcome in ('failed', 'not-sent') or a.code = 'hedge-lost', false)`;

/**
 * A decision whose attempt failed is not the one that answered, as long as a later one may come. An outcome that has waited this
 * long is joined with it: every attempt failed, and that is what was judged.
 */
const FAILED_GRACE_MS = 60_000;

/** More came than is kept: `what` says of which. */
export class OutcomesFull extends Error {
  override readonly name = 'OutcomesFull';
}

interface OutcomeRow {
  org: string;
  request_id: string;
  outcome_id: string;
  kind: OutcomeKind;
  value: number | null;
  revenue_nanos: string | null;
  occurred_at: Date;
  reported_at: Date;
  attempt_number: number | null;
}

/**
 * Keeps an outcome once. With its decision on record it is joined, and its event goes to the outbox in the same transaction;
 * otherwise it waits.
 * @param mayWait false: the org has as many waiting as it may have
 * @throws OutcomesFull when it is one too many, and nothing is kept
 */
export async function keepOutcome(
  source: DataSource,
  outcome: Outcome,
  eventOf: OutcomeEvent,
  mayWait = true,
): Promise<'recorded' | 'known' | 'pending'> {
  const { org, requestId, outcomeId } = outcome;
  return inTransaction(source, async (manager) => {
    const fresh: unknown[] = await manager.query(
      `insert into outcomes (org, request_id, outcome_id, kind, value, revenue_nanos, occurred_at, reported_at)
       select $1, $2, $3, $4, $5::float8, $6::bigint, $7::timestamptz, $8::timestamptz
       where (select count(*) from outcomes where request_id = $2 and org = $1) < $9
       on conflict do nothing returning 1`,
      [
        org,
        requestId,
        outcomeId,
        outcome.kind,
        outcome.value,
        outcome.revenueNanos?.toString() ?? null,
        outcome.occurredAt,
        outcome.reportedAt,
        MOST_OUTCOMES_PER_REQUEST,
      ],
    );
    if (fresh.length === 0) {
      const known: unknown[] = await manager.query(
        `select 1 from outcomes where request_id = $2 and org = $1 and outcome_id = $3`,
        [org, requestId, outcomeId],
      );
      if (known.length > 0) return 'known';
      throw new OutcomesFull(`a request has at most ${MOST_OUTCOMES_PER_REQUEST} outcomes`);
    }
    const joined = await joinWaiting(manager, [{ org, requestId }], eventOf);
    if (joined.includes(outcomeId)) return 'recorded';
    if (!mayWait) throw new OutcomesFull('too many outcomes wait for their requests');
    return 'pending';
  });
}

/**
 * Joins outcomes that wait with the decision whose attempt answered: of those with a choice the latest that is not known to have
 * failed, or to have left the answer to the other.
 * @returns ids of the outcomes that were joined.
 */
export async function joinWaiting(
  manager: EntityManager,
  requests: readonly { org: string; requestId: string }[],
  eventOf: OutcomeEvent,
): Promise<string[]> {
  if (requests.length === 0) return [];
  const rows: (OutcomeRow & { record: RoutingDecisionMadeV1; was_converted: boolean | null })[] = await manager.query(
    `with waiting as materialized (
       select distinct request_id, org from outcomes
       where attempt_number is null and (request_id, org) in (select * from unnest($1::text[], $2::text[]))
     ), answered as materialized (
       select distinct on (d.request_id, d.org) d.request_id, d.org, d.attempt_number, d.record,
         ${SILENT} as failed
       from waiting w join decisions d on d.request_id = w.request_id and d.org = w.org and d.choice is not null
         left join attempt a on a.attempt_id = d.attempt_id
       order by d.request_id, d.org, ${SILENT}, d.decided_at desc, d.attempt_number desc
     ), joined as (
       update outcomes o set attempt_number = a.attempt_number from answered a
       where o.request_id = a.request_id and o.org = a.org and o.attempt_number is null
         and (not a.failed or o.reported_at < now() - $3 * interval '1 ms')
       returning o.*, a.record
     )
     select joined.*, (
       select before.value = 1 from outcomes before
       where before.request_id = joined.request_id and before.org = joined.org
         and before.kind = 'conversion' and before.value is not null
         and (before.reported_at, before.outcome_id) < (joined.reported_at, joined.outcome_id)
       order by before.reported_at desc, before.outcome_id desc limit 1
     ) as was_converted
     from joined order by request_id, org, outcome_id`,
    [requests.map((r) => r.requestId), requests.map((r) => r.org), FAILED_GRACE_MS],
  );
  await putOutbox(
    manager,
    'metering',
    rows.map((row) => {
      const body = eventOf(outcomeOf(row), row.record, row.was_converted ?? false);
      return {
        type: 'outcome.recorded.v1' as const,
        subject: subjects.outcomeRecorded(row.org),
        // What callers name an outcome may be no header value.
        messageId: `outcome-${sha256Hex(`${row.org}/${row.request_id}/${row.outcome_id}`, 40)}`,
        body,
        occurredAt: body.reportedAt,
      };
    }),
  );
  return rows.map((r) => r.outcome_id);
}

/**
 * Joins outcomes that were reported within the last `withinMs` and missed their decision because both came at once, or that were
 * reported of a request whose every attempt failed.
 * @returns how many were joined.
 */
export async function joinMissed(
  source: DataSource,
  withinMs: number,
  limit: number,
  eventOf: OutcomeEvent,
): Promise<number> {
  const rows: { org: string; request_id: string }[] = await source.query(
    `select distinct o.org, o.request_id from outcomes o
     where o.attempt_number is null and o.reported_at >= now() - $1 * interval '1 ms'
       and exists (select 1 from decisions d left join attempt a on a.attempt_id = d.attempt_id
         where d.request_id = o.request_id and d.org = o.org and d.choice is not null
           and (not ${SILENT} or o.reported_at < now() - $2 * interval '1 ms'))
     limit $3`,
    [withinMs, FAILED_GRACE_MS, limit],
  );
  return joinAll(source, rows, eventOf);
}

/**
 * Forgets outcomes that have waited longer than `maxWaitMs`, at most `limit`; those that could be joined after all are.
 * @returns how many were forgotten of each org.
 */
export async function dropWaiting(
  source: DataSource,
  maxWaitMs: number,
  limit: number,
  eventOf: OutcomeEvent,
): Promise<Map<string, number>> {
  const old: { org: string; request_id: string }[] = await source.query(
    `select org, request_id from outcomes where attempt_number is null and reported_at < now() - $1 * interval '1 ms'
     order by reported_at limit $2`,
    [maxWaitMs, limit],
  );
  if (old.length === 0) return new Map();
  await joinAll(source, old, eventOf);
  const rows: { org: string; n: number }[] = await source.query(
    `with gone as (delete from outcomes where attempt_number is null and reported_at < now() - $3 * interval '1 ms'
       and (request_id, org) in (select * from unnest($1::text[], $2::text[])) returning org)
     select org, count(*)::int as n from gone group by org`,
    [old.map((r) => r.request_id), old.map((r) => r.org), maxWaitMs],
  );
  return new Map(rows.map((r) => [r.org, r.n]));
}

async function joinAll(
  source: DataSource,
  rows: readonly { org: string; request_id: string }[],
  eventOf: OutcomeEvent,
): Promise<number> {
  const requests = rows.map((r) => ({ org: r.org, requestId: r.request_id }));
  return (await inTransaction(source, (manager) => joinWaiting(manager, requests, eventOf))).length;
}

/** How many outcomes of each org wait for their decisions. */
export async function waitingOutcomes(source: DataSource): Promise<Map<string, number>> {
  const rows: { org: string; n: number }[] = await source.query(
    `select org, count(*)::int as n from outcomes where attempt_number is null group by org`,
  );
  return new Map(rows.map((r) => [r.org, r.n]));
}

/** What was reported of a request, oldest first. */
export async function outcomesOf(source: DataSource, org: string, requestId: string): Promise<StoredOutcome[]> {
  const rows: OutcomeRow[] = await source.query(
    `select * from outcomes where request_id = $1 and org = $2 order by occurred_at, outcome_id`,
    [requestId, org],
  );
  return rows.map((row) => {
    const { org: _, requestId: __, revenueNanos, ...outcome } = outcomeOf(row);
    return { ...outcome, revenueNanos: revenueNanos?.toString() ?? null, attemptNumber: row.attempt_number };
  });
}

function outcomeOf(row: OutcomeRow): Outcome {
  return {
    org: row.org,
    requestId: row.request_id,
    outcomeId: row.outcome_id,
    kind: row.kind,
    value: row.value,
    revenueNanos: row.revenue_nanos === null ? null : BigInt(row.revenue_nanos),
    occurredAt: row.occurred_at.toISOString(),
    reportedAt: row.reported_at.toISOString(),
  };
}
