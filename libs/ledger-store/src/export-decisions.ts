import type { RoutingDecisionMadeV1, Usage } from '@meritorder/contracts';
import type { DataSource } from 'typeorm';
import type { Outcome } from './outcomes.js';

/** A request as it was first decided, with the usage of the attempt that answered it, as booked. */
export interface ExportedRequest {
  record: RoutingDecisionMadeV1;
  usage: Usage | null;
  /** All its attempts; null: none is booked. */
  booked: { cashNanos: string; fullNanos: string } | null;
  /** What was reported of it. */
  outcomes: Pick<Outcome, 'kind' | 'value'>[];
  /** Where the next page goes on. */
  place: ExportPlace;
}

/** The first and the last decision of an org. */
export interface OrgOnRecord {
  org: string;
  from: string;
  to: string;
}

/** A place in the order of an export. */
export interface ExportPlace {
  decidedAt: string;
  requestId: string;
  decisionId: string;
}

/**
 * First decisions of requests, refused ones too, from `from` until before `to`, in the order in which they were made; those after
 * `after`. Usage of a later attempt of the same request is usage of the request.
 */
export async function exportDecisions(
  source: DataSource,
  of: { org: string | undefined; from: Date; to: Date; after: ExportPlace | undefined },
  limit: number,
): Promise<ExportedRequest[]> {
  const { org, from, to, after } = of;
  const rows: {
    record: RoutingDecisionMadeV1;
    usage: Usage | null;
    cash: string | null;
    full_cost: string | null;
    outcomes: Pick<Outcome, 'kind' | 'value'>[] | null;
    request_id: string;
    decision_id: string;
    at: Date;
  }[] = await source.query(
    `select d.record, d.request_id, d.decision_id, d.decided_at as at, answered.usage, booked.cash, booked.full_cost, said.outcomes
       from decisions d left join lateral (
         select a.usage from decisions later join attempt a on a.attempt_id = later.attempt_id and a.org = later.org
         where later.request_id = d.request_id and later.org = d.org and a.usage is not null
           and later.decided_at >= d.decided_at and later.decided_at < d.decided_at + interval '2 hours'
         order by a.outcome = 'finished' desc, later.attempt_number limit 1
       ) answered on true
       left join lateral (
         select sum(s.cash_nanos)::text as cash, sum(s.full_nanos)::text as full_cost
         from decisions later join attempt_settled s on s.attempt_id = later.attempt_id
         where later.request_id = d.request_id and later.org = d.org
           and later.decided_at >= d.decided_at and later.decided_at < d.decided_at + interval '2 hours'
       ) booked on true
       left join lateral (
         select json_agg(json_build_object('kind', o.kind, 'value', o.value)) as outcomes
         from outcomes o where o.request_id = d.request_id and o.org = d.org and o.attempt_number is not null
       ) said on true
       where d.attempt_number = 1 and d.decided_at >= $1 and d.decided_at < $2 and ($3::text is null or d.org = $3)
         and ($4::timestamptz is null or (d.decided_at, d.request_id, d.decision_id) > ($4, $5, $6))
       order by d.decided_at, d.request_id, d.decision_id limit $7`,
    [
      after ? new Date(Math.max(from.getTime(), Date.parse(after.decidedAt))) : from,
      to,
      org ?? null,
      after?.decidedAt ?? null,
      after?.requestId ?? null,
      after?.decisionId ?? null,
      limit,
    ],
  );
  return rows.map((r) => ({
    record: r.record,
    usage: r.usage,
    booked: r.cash === null || r.full_cost === null ? null : { cashNanos: r.cash, fullNanos: r.full_cost },
    outcomes: r.outcomes ?? [],
    place: { decidedAt: r.at.toISOString(), requestId: r.request_id, decisionId: r.decision_id },
  }));
}

/** Of which orgs and times there are decisions, by org. Walks the index from org to org, so the number of decisions costs nothing. */
export async function orgsOnRecord(source: DataSource, limit: number): Promise<OrgOnRecord[]> {
  const rows: { org: string; first: Date; last: Date }[] = await source.query(
    `with recursive orgs as (
       (select org from decisions order by org limit 1)
       union all
       select (select d.org from decisions d where d.org > orgs.org order by d.org limit 1) from orgs where orgs.org is not null
     )
     select org, (select min(decided_at) from decisions d where d.org = orgs.org) as first,
       (select max(decided_at) from decisions d where d.org = orgs.org) as last
     from orgs where org is not null limit $1`,
    [limit],
  );
  return rows.map(({ org, first, last }) => ({ org, from: first.toISOString(), to: last.toISOString() }));
}
