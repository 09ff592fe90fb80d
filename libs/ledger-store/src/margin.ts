import type { Nanos } from '@meritorder/kernel';
import type { DataSource } from 'typeorm';

/** Whose, and reserved from `from` until before `to`. */
export interface MarginSpan {
  org: string | undefined;
  from: Date;
  to: Date;
}

export interface SegmentKey {
  org: string;
  tier: string | null;
  feature: string | null;
}

export interface CostSums {
  attempts: number;
  /** Those whose customer has the answer, or was charged for a part of it. */
  requests: number;
  cashNanos: Nanos;
  fullNanos: Nanos;
  unconfirmedNanos: Nanos;
  /** Null: none had a charge. */
  chargedNanos: Nanos | null;
}

/** What a segment's attempts at a backend cost and were charged, in one part of the span. */
export interface SegmentCosts extends SegmentKey, CostSums {
  backend: string;
  /** Attempts that finished: each may convert. */
  finished: number;
  /** Mean of when these were reserved. */
  atMs: number;
}

export interface CustomerCosts extends CostSums {
  org: string;
  customer: string;
}

/** An outcome with the request that it is of. */
export interface RequestOutcome extends SegmentKey {
  customer: string | null;
  backend: string;
  requestId: string;
  decidedAtMs: number;
  isConversion: boolean;
  /** Of a conversion: whether it is one, or takes one back. */
  converted: boolean;
  revenueNanos: Nanos | null;
  occurredAtMs: number;
}

/** What decisions of a segment expected of a candidate; means over at most the latest 5,000 decisions of the org. */
export interface CandidateMeans extends SegmentKey {
  backend: string;
  marginalUsd: number;
  quality: number;
  /** Sum of shadow prices on its path. */
  shadowPrice: number;
  /** What the router took a conversion to bring, USD. */
  revenueUsd: number;
  /** Of that, what was configured; null: nothing, or it is not on record. */
  revenueConfiguredUsd: number | null;
}

/** Most rows that one reading takes in. */
const MOST_ROWS = 200_000;
const MOST_DECISIONS_PER_ORG = 5_000;

/** There is more than one reading takes in; the message says what to do. */
export class SpanTooLarge extends Error {
  override readonly name = 'SpanTooLarge';
}

const SUMS = `count(*)::int as attempts,
  count(*) filter (where a.outcome = 'finished' or s.charged_nanos > 0)::int as requests,
  sum(s.cash_nanos)::text as cash, sum(s.full_nanos)::text as full_cost,
  coalesce(sum(s.full_nanos) filter (where s.state = 'unconfirmed'), 0)::text as unconfirmed, sum(s.charged_nanos)::text as charged`;

const BOOKED = `from attempt a join attempt_settled s using (attempt_id)
  where a.reserved_at >= $1 and a.reserved_at < $2 and ($3::text is null or a.org = $3) and s.state <> 'free'`;

interface SumsRow {
  attempts: number;
  requests: number;
  cash: string;
  full_cost: string;
  unconfirmed: string;
  charged: string | null;
}

const sumsOf = (r: SumsRow): CostSums => ({
  attempts: r.attempts,
  requests: r.requests,
  cashNanos: BigInt(r.cash),
  fullNanos: BigInt(r.full_cost),
  unconfirmedNanos: BigInt(r.unconfirmed),
  chargedNanos: r.charged === null ? null : BigInt(r.charged),
});

/** By segment, backend and quarter of a day: conversions ripen by when a request was made. @throws SpanTooLarge */
export async function segmentCosts(source: DataSource, { org, from, to }: MarginSpan): Promise<SegmentCosts[]> {
  const rows: (SumsRow & SegmentKey & { backend: string; finished: number; at: number })[] = await source.query(
    `select a.org, a.terms #>> '{attribution,tier}' as tier, a.terms #>> '{attribution,feature}' as feature, a.backend, ${SUMS},
       count(*) filter (where a.outcome = 'finished')::int as finished, avg(extract(epoch from a.reserved_at))::float8 as at
     ${BOOKED} group by 1, 2, 3, 4, floor(extract(epoch from a.reserved_at) / 21600) limit ${MOST_ROWS + 1}`,
    [from, to, org ?? null],
  );
  checkRows(rows, 'segments');
  return rows.map((r) => ({
    org: r.org,
    tier: r.tier,
    feature: r.feature,
    backend: r.backend,
    finished: r.finished,
    atMs: r.at * 1_000,
    ...sumsOf(r),
  }));
}

/** Requests that name a customer. @throws SpanTooLarge */
export async function customerCosts(source: DataSource, { org, from, to }: MarginSpan): Promise<CustomerCosts[]> {
  const rows: (SumsRow & { org: string; customer: string })[] = await source.query(
    `select a.org, a.terms #>> '{attribution,customer}' as customer, ${SUMS}
     ${BOOKED} and a.terms #>> '{attribution,customer}' is not null group by 1, 2 limit ${MOST_ROWS + 1}`,
    [from, to, org ?? null],
  );
  checkRows(rows, 'customers');
  return rows.map((r) => ({ org: r.org, customer: r.customer, ...sumsOf(r) }));
}

/**
 * Outcomes that are conversions or brought something, of requests that were decided in the span, in the order in which they
 * happened. @throws SpanTooLarge
 */
export async function requestOutcomes(source: DataSource, { org, from, to }: MarginSpan): Promise<RequestOutcome[]> {
  const rows: (SegmentKey & {
    customer: string | null;
    backend: string;
    request_id: string;
    decided_at: Date;
    kind: string;
    value: number | null;
    revenue: string | null;
    occurred_at: Date;
  })[] = await source.query(
    `select * from (
       select distinct on (o.org, o.request_id, o.outcome_id) o.org, o.request_id, o.kind, o.value,
         o.revenue_nanos::text as revenue, o.occurred_at, d.decided_at, d.choice as backend,
         d.record #>> '{attribution,tier}' as tier, d.record #>> '{attribution,feature}' as feature,
         d.record #>> '{attribution,customer}' as customer
       from decisions d join outcomes o
         on o.request_id = d.request_id and o.org = d.org and o.attempt_number = d.attempt_number
       where d.decided_at >= $1 and d.decided_at < $2 and ($3::text is null or d.org = $3) and d.choice is not null
         and (o.kind = 'conversion' or o.revenue_nanos is not null)
       order by o.org, o.request_id, o.outcome_id, d.decided_at desc limit ${MOST_ROWS + 1}
     ) told order by occurred_at, org, request_id`,
    [from, to, org ?? null],
  );
  checkRows(rows, 'outcomes');
  return rows.map((r) => ({
    org: r.org,
    tier: r.tier,
    feature: r.feature,
    customer: r.customer,
    backend: r.backend,
    requestId: r.request_id,
    decidedAtMs: r.decided_at.getTime(),
    isConversion: r.kind === 'conversion',
    converted: r.value !== 0,
    revenueNanos: r.revenue === null ? null : BigInt(r.revenue),
    occurredAtMs: r.occurred_at.getTime(),
  }));
}

/**
 * Of orgs, what the latest decisions in the span expected of each candidate that was able. The shadow price is what the budgets of
 * its path counted its money beyond what it adds, for each dollar that it adds: a budget of cash counts nothing of own hardware, one
 * of full cost all of it, as the router did.
 */
export async function candidateMeans(
  source: DataSource,
  orgs: readonly string[],
  { from, to }: Pick<MarginSpan, 'from' | 'to'>,
): Promise<CandidateMeans[]> {
  if (orgs.length === 0) return [];
  return source.query(
    `select d.org, d.record #>> '{attribution,tier}' as tier, d.record #>> '{attribution,feature}' as feature,
       c ->> 'backend' as backend, avg((c #>> '{numbers,marginalUsd}')::float8) as "marginalUsd",
       avg((c #>> '{numbers,quality}')::float8) as quality,
       coalesce(
         avg((c #>> '{numbers,shadowCash}')::float8 * (c ->> 'expectedCashUsd')::float8
           + (c #>> '{numbers,shadowFull}')::float8 * (c ->> 'expectedFullUsd')::float8)
         / nullif(avg((c #>> '{numbers,marginalUsd}')::float8), 0), 0) as "shadowPrice",
       avg((d.record #>> '{policy,revenueUsd}')::float8) as "revenueUsd",
       avg((d.record #>> '{policy,revenue,configuredUsd}')::float8) as "revenueConfiguredUsd"
     from unnest($1::text[]) as asked(org)
       cross join lateral (
         select org, record from decisions where org = asked.org and decided_at >= $2 and decided_at < $3 and attempt_number = 1
         order by decided_at desc limit ${MOST_DECISIONS_PER_ORG}
       ) d cross join lateral jsonb_array_elements(d.record -> 'candidates') as c
     where c ? 'numbers' and d.record ? 'policy'
     group by 1, 2, 3, 4 order by 1, 2, 3, 4`,
    [orgs, from, to],
  );
}

function checkRows(rows: readonly unknown[], what: string): void {
  if (rows.length > MOST_ROWS)
    throw new SpanTooLarge(
      `these days have more than ${MOST_ROWS} rows of ${what}; ask for fewer days, or for one org`,
    );
}
