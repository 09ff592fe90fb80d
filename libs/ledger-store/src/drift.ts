import type { Nanos } from '@meritorder/kernel';
import type { DataSource } from 'typeorm';
import { inTransaction } from './database.js';

/** A difference: what the truth says minus what was found. */
export interface Drift {
  budget: string;
  window: string;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
}

/**
 * Compares window totals with the ledger and corrects them by the difference. The ledger is the entries: per attempt what its
 * expense account says, by cash and absorbed cost, settled and unconfirmed. One snapshot, so a booking in between is in both or
 * in neither; a total that was booked on meanwhile makes the transaction start again.
 * @param sinceMs windows of attempts that were reserved since then; their windows must have begun later. Null: all.
 */
export async function correctWindowTotals(
  source: DataSource,
  windows: readonly { budget: string; window: string }[],
  sinceMs: number | null,
): Promise<Drift[]> {
  if (windows.length === 0) return [];
  return inTransaction(source, async (manager) => {
    await manager.query(`set transaction isolation level repeatable read`);
    const rows: { budget: string; window_id: string; settled: string; unconfirmed: string }[] = await manager.query(
      `with asked as (select * from unnest($1::text[], $2::text[]) as a(budget, window_id)),
       posting as (
         select attempt_id, credit_account as account, amount_nanos as amount from ledger_entry where debit_account like 'expense:%'
         union all
         select attempt_id, debit_account, -amount_nanos from ledger_entry where credit_account like 'expense:%'
       ),
       charged as (
         select p.attempt_id,
           sum(amount) filter (where account like 'payable:%') as cash,
           sum(amount) filter (where account like 'payable:%' or account like 'absorbed:%') as full_cost,
           sum(amount) filter (where account like 'unconfirmed-payable:%') as unconfirmed_cash,
           sum(amount) filter (where account like 'unconfirmed-%') as unconfirmed_full
         from posting p join attempt a on a.attempt_id = p.attempt_id
         where $3::timestamptz is null or a.reserved_at >= $3::timestamptz
         group by p.attempt_id
       ),
       ledger as (
         select w ->> 'budget' as budget, w ->> 'window' as window_id,
           sum(case w ->> 'basis' when 'cash' then cash else full_cost end) as settled,
           sum(case w ->> 'basis' when 'cash' then unconfirmed_cash else unconfirmed_full end) as unconfirmed
         from charged c join attempt a on a.attempt_id = c.attempt_id, jsonb_array_elements(a.terms -> 'windows') as w
         group by 1, 2
       )
       select asked.budget, asked.window_id,
         (coalesce(l.settled, 0) - coalesce(s.settled_nanos + s.corrected_nanos, 0))::text as settled,
         (coalesce(l.unconfirmed, 0) - coalesce(s.unconfirmed_nanos, 0))::text as unconfirmed
       from asked left join ledger l using (budget, window_id) left join window_spend s using (budget, window_id)
       where coalesce(l.settled, 0) <> coalesce(s.settled_nanos + s.corrected_nanos, 0)
          or coalesce(l.unconfirmed, 0) <> coalesce(s.unconfirmed_nanos, 0)
       order by 1, 2`,
      [
        windows.map((w) => w.budget),
        windows.map((w) => w.window),
        sinceMs === null ? null : new Date(sinceMs).toISOString(),
      ],
    );
    const found = rows.map((r) => ({
      budget: r.budget,
      window: r.window_id,
      settledNanos: BigInt(r.settled),
      unconfirmedNanos: BigInt(r.unconfirmed),
    }));
    if (found.length > 0) {
      await manager.query(
        `insert into window_spend (budget, window_id, settled_nanos, unconfirmed_nanos)
         select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
         on conflict (budget, window_id) do update set settled_nanos = window_spend.settled_nanos + excluded.settled_nanos,
           unconfirmed_nanos = window_spend.unconfirmed_nanos + excluded.unconfirmed_nanos, changed_at = now()`,
        columns(found),
      );
      await manager.query(insertDrift('window', 'corrected'), columns(found));
    }
    return found;
  });
}

/** Keeps what was found between counters and books, and what was done about it. */
export async function recordCounterDrift(
  source: DataSource,
  found: readonly Drift[],
  remedy: 'adjusted' | 'rebuilt',
): Promise<void> {
  if (found.length > 0) await source.query(insertDrift('counter', remedy), columns(found));
}

function insertDrift(kind: 'window' | 'counter', remedy: 'corrected' | 'adjusted' | 'rebuilt'): string {
  return `insert into drift (kind, budget, window_id, settled_nanos, unconfirmed_nanos, remedy)
    select '${kind}', *, '${remedy}' from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])`;
}

function columns(found: readonly Drift[]): unknown[] {
  return [
    found.map((d) => d.budget),
    found.map((d) => d.window),
    found.map((d) => d.settledNanos.toString()),
    found.map((d) => d.unconfirmedNanos.toString()),
  ];
}

/** Attempts whose charge the counters were not told yet. */
export async function untoldCount(source: DataSource): Promise<number> {
  const [row]: { n: number }[] = await source.query(`select count(*)::int as n from untold_settlement`);
  return row!.n;
}

/** Windows of attempts that are open as far as the books know, each once. */
export async function windowsInFlight(source: DataSource): Promise<{ budget: string; window: string }[]> {
  return (await source.query(
    `select distinct w ->> 'budget' as budget, w ->> 'window' as window
     from attempt a, jsonb_array_elements(a.terms -> 'windows') as w where a.state = 'opened'`,
  )) as { budget: string; window: string }[];
}
