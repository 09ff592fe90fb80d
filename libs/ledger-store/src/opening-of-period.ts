import type { BudgetDefinition, PriceVersion } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import type { DataSource } from 'typeorm';

/** What of one window of a budget was spent before an instant. */
export interface SpentBefore {
  budget: string;
  window: string;
  /** Settled and unconfirmed. */
  nanos: Nanos;
}

/**
 * Price versions as the book has them now that are in force at some time from `from` until `to`, oldest first. Of each series those
 * of the configuration and those that an operator put over them: `priceInForce` chooses between them.
 */
export async function pricesOver(source: DataSource, { from, to }: { from: Date; to: Date }): Promise<PriceVersion[]> {
  const rows: { definition: PriceVersion }[] = await source.query(
    `select p.definition from price_version p
     where p.status = 'accepted' and not p.withdrawn and p.effective_from <= $2 and not exists (
       select 1 from price_version later
       where later.backend = p.backend and later.model is not distinct from p.model and later.origin = p.origin
         and later.status = 'accepted' and not later.withdrawn and later.effective_from <= $1
         and (later.effective_from, later.sequence) > (p.effective_from, p.sequence))
     order by p.effective_from, p.sequence`,
    [from, to],
  );
  return rows.map((r) => r.definition);
}

/** Of every budget, those that are not in force any more too. */
export async function everyBudget(source: DataSource): Promise<BudgetDefinition[]> {
  const rows: { definition: BudgetDefinition }[] = await source.query(`select definition from budget order by id`);
  return rows.map((r) => r.definition);
}

/** How long after the end of a window an attempt of it may be said to be reserved: it takes milliseconds, by clocks that differ. */
const LATE_MS = 3_600_000;

/**
 * What was spent in windows by attempts that were reserved before an instant, whenever they were settled; those that spent most
 * first, and none that spent nothing; of those beyond `limit` only how many there are. A window is named by its budget or, for all its instances, by their template.
 */
export async function spentBefore(
  source: DataSource,
  windows: readonly { budget: string; window: string; endMs: number | null }[],
  at: Date,
  limit: number,
): Promise<{ spent: SpentBefore[]; leftOut: number }> {
  // What is on the windows now, less what came since: an attempt knows its windows, a window does not know its attempts. Those
  // after the last of the windows are not looked at: of an old period that would be all of the books.
  const lastMs = windows.reduce((last, { endMs }) => Math.max(last, endMs ?? Infinity), 0);
  const until = lastMs === Infinity ? 'infinity' : new Date(lastMs + LATE_MS).toISOString();
  const rows: { budget: string; window_id: string; nanos: string; windows: number }[] = await source.query(
    `with counted as materialized (
       select s.budget, s.window_id, s.settled_nanos + s.corrected_nanos + s.unconfirmed_nanos as nanos
       from unnest($1::text[], $2::text[]) as asked(budget, window_id), lateral (
         select * from window_spend where budget = asked.budget and window_id = asked.window_id and template is null
         union all select * from window_spend where template = asked.budget and window_id = asked.window_id) as s
     ), since as (
       select w ->> 'budget' as budget, w ->> 'window' as window_id,
         sum(case w ->> 'basis' when 'cash' then s.cash_nanos else s.full_nanos end) as nanos
       from attempt a join attempt_settled s using (attempt_id), jsonb_array_elements(a.terms -> 'windows') as w
       where a.reserved_at >= $3 and a.reserved_at < $5::timestamptz and w ->> 'window' = any($2) group by 1, 2
     )
     select *, count(*) over ()::int as windows from (
       select counted.budget, counted.window_id, counted.nanos - coalesce(since.nanos, 0) as nanos
       from counted left join since on since.budget = counted.budget and since.window_id = counted.window_id
     ) as spent where nanos > 0 order by nanos desc, budget limit $4`,
    [windows.map((w) => w.budget), windows.map((w) => w.window), at, limit, until],
  );
  return {
    spent: rows.map((r) => ({ budget: r.budget, window: r.window_id, nanos: BigInt(r.nanos) })),
    leftOut: (rows[0]?.windows ?? 0) - rows.length,
  };
}
