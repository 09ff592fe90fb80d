import type { AttemptTerms, ServiceTier, Usage, UsageBasis } from '@meritorder/contracts';
import type { DataSource } from 'typeorm';

/** A span of a backend's attempts that a late price may have changed. */
export interface OpenCorrection {
  priceVersion: string;
  backend: string;
  model: string | undefined;
  since: Date;
}

/** An attempt that was rated by another version than the one that the book now has for its time. */
export interface RatedAttempt {
  /** `unconfirmed`: a rate was missing for what was served. */
  state: 'confirmed' | 'unconfirmed';
  terms: AttemptTerms;
  worker: string;
  outcome: string;
  usage: Usage;
  usageBasis: UsageBasis | null;
  servedModel: string | null;
  servedTier: ServiceTier | null;
  reservedAt: Date;
  closedAt: Date | null;
  priceVersion: string;
}

/**
 * Corrections whose attempts may still change. All attempts of the span are looked at once; after that only those that were
 * reserved within two hours before the price came (no attempt is open for longer), since only they may be booked later.
 */
export async function openCorrections(source: DataSource): Promise<OpenCorrection[]> {
  const rows: { price_version: string; backend: string; model: string | null; since: Date }[] = await source.query(
    `select price_version, backend, model,
       case when scanned then greatest(since, until - interval '4 hours') else since end as since
     from price_correction where until > now() order by since`,
  );
  return rows.map((r) => ({
    priceVersion: r.price_version,
    backend: r.backend,
    model: r.model ?? undefined,
    since: r.since,
  }));
}

/**
 * Attempts of a correction's series, after one of them, that were reserved in [from, to) and rated by another version than
 * `priceVersion`: confirmed, or unconfirmed for want of a rate. Charges that an invoice set stay as the provider said.
 */
export async function attemptsRatedOtherwise(
  source: DataSource,
  of: { backend: string; model: string | undefined; priceVersion: string; from: Date; to: Date | undefined },
  limit: number,
  after = '',
): Promise<RatedAttempt[]> {
  return source.query(
    `select s.state, a.terms, a.worker, a.outcome, a.usage, a.usage_basis as "usageBasis", a.served_model as "servedModel",
            a.served_tier as "servedTier", a.reserved_at as "reservedAt", a.closed_at as "closedAt", s.price_version as "priceVersion"
     from attempt a join attempt_settled s using (attempt_id)
     where a.backend = $1 and a.reserved_at >= $2 and ($3::timestamptz is null or a.reserved_at < $3)
       and (s.state = 'confirmed' or (s.state = 'unconfirmed' and a.unpriced is not null))
       and a.usage is not null and s.price_version <> $4 and a.attempt_id > $7
       and s.price_version in (select id from price_version where backend = $1 and model is not distinct from $5)
       and not exists (select 1 from ledger_entry e where e.attempt_id = a.attempt_id and e.cause = 'invoice')
     order by a.attempt_id limit $6`,
    [of.backend, of.from, of.to ?? null, of.priceVersion, of.model ?? null, limit, after],
  );
}

/** A confirmed attempt with what it is in the books. */
export type ChargedAttempt = Omit<RatedAttempt, 'state' | 'worker' | 'outcome' | 'usageBasis' | 'priceVersion'> & {
  cashNanos: string;
  fullNanos: string;
};

/** The latest confirmed attempts of a backend that were reserved since then and rated by its own series of prices. */
export async function attemptsChargedSince(
  source: DataSource,
  of: { backend: string; since: Date },
  limit: number,
): Promise<ChargedAttempt[]> {
  return source.query(
    `select a.terms, a.usage, a.served_model as "servedModel", a.served_tier as "servedTier", a.reserved_at as "reservedAt",
            a.closed_at as "closedAt", s.cash_nanos::text as "cashNanos", s.full_nanos::text as "fullNanos"
     from attempt a join attempt_settled s using (attempt_id)
     where a.backend = $1 and a.reserved_at >= $2 and s.state = 'confirmed' and a.usage is not null
       and s.price_version in (select id from price_version where backend = $1 and model is null)
     order by a.reserved_at desc limit $3`,
    [of.backend, of.since, limit],
  );
}

/** Every attempt of the correction's span was looked at. */
export async function noteScanned(source: DataSource, priceVersion: string): Promise<void> {
  await source.query(`update price_correction set scanned = true where price_version = $1 and not scanned`, [
    priceVersion,
  ]);
}

/** What a correction has come to, for people. */
export async function noteCorrection(
  source: DataSource,
  priceVersion: string,
  adjusted: number,
  differenceNanos: bigint,
): Promise<void> {
  await source.query(
    `update price_correction set adjusted = adjusted + $2, difference_nanos = difference_nanos + $3 where price_version = $1`,
    [priceVersion, adjusted, differenceNanos.toString()],
  );
}

export async function corrections(
  source: DataSource,
): Promise<{ priceVersion: string; backend: string; since: Date; adjusted: number; differenceNanos: string }[]> {
  return source.query(
    `select price_version as "priceVersion", backend, since, adjusted, difference_nanos::text as "differenceNanos" from price_correction order by since`,
  );
}
