import type { AttemptState, Charge } from '@meritorder/ledger-core';
import type { DataSource } from 'typeorm';
import type { Settlement } from './book-attempts.js';

/** Keeps what the counters must still be told; a later charge of the same attempt takes the place of an earlier one. */
export async function keepUntold(source: DataSource, settlements: readonly Settlement[]): Promise<void> {
  if (settlements.length === 0) return;
  const sorted = settlements.toSorted((a, b) => (a.attemptId < b.attemptId ? -1 : 1));
  await source.query(
    `insert into untold_settlement (attempt_id, state, cash_nanos, full_nanos)
     select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
     on conflict (attempt_id) do update set state = excluded.state, cash_nanos = excluded.cash_nanos, full_nanos = excluded.full_nanos`,
    [
      sorted.map((s) => s.attemptId),
      sorted.map((s) => s.charge.state),
      sorted.map((s) => s.charge.cashNanos.toString()),
      sorted.map((s) => s.charge.fullNanos.toString()),
    ],
  );
}

/** Hands what is untold to `tell`, which returns what is still untold; the rest is forgotten. Returns how many were told. */
export async function tellUntold(
  source: DataSource,
  limit: number,
  tell: (settlements: Settlement[]) => Promise<Settlement[]>,
): Promise<number> {
  return source.transaction(async (manager) => {
    const rows: { attempt_id: string; state: AttemptState; cash_nanos: string; full_nanos: string }[] =
      await manager.query(`select * from untold_settlement order by attempt_id limit $1 for update skip locked`, [
        limit,
      ]);
    if (rows.length === 0) return 0;
    const still = new Set(
      (await tell(rows.map((r) => ({ attemptId: r.attempt_id, charge: chargeOfRow(r), changed: false })))).map(
        (s) => s.attemptId,
      ),
    );
    const told = rows.map((r) => r.attempt_id).filter((id) => !still.has(id));
    await manager.query(`delete from untold_settlement where attempt_id = any($1)`, [told]);
    return told.length;
  });
}

function chargeOfRow(row: { state: AttemptState; cash_nanos: string; full_nanos: string }): Charge {
  return { state: row.state, cashNanos: BigInt(row.cash_nanos), fullNanos: BigInt(row.full_nanos) };
}
