import type { Nanos } from '@meritorder/kernel';
import type { DataSource } from 'typeorm';

/** What one window left to the next, and what it was computed from. A revision replaces the one before. */
export interface CarryOver {
  budget: string;
  window: string;
  revision: number;
  fromWindow: string;
  nanos: Nanos;
  limitNanos: Nanos;
  spentNanos: Nanos;
}

/** The carry of a window in force. */
export async function carryOf(source: DataSource, budget: string, window: string): Promise<CarryOver | undefined> {
  const rows: Record<string, string | number>[] = await source.query(
    `select * from carry_over where budget = $1 and window_id = $2 order by revision desc limit 1`,
    [budget, window],
  );
  const row = rows[0];
  return (
    row && {
      budget,
      window,
      revision: Number(row['revision']),
      fromWindow: String(row['from_window']),
      nanos: BigInt(row['nanos']!),
      limitNanos: BigInt(row['limit_nanos']!),
      spentNanos: BigInt(row['spent_nanos']!),
    }
  );
}

/** Records a carry once. False: this revision is recorded already. */
export async function recordCarry(source: DataSource, carry: CarryOver): Promise<boolean> {
  const rows: unknown[] = await source.query(
    `insert into carry_over (budget, window_id, revision, from_window, nanos, limit_nanos, spent_nanos)
     values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing returning budget`,
    [
      carry.budget,
      carry.window,
      carry.revision,
      carry.fromWindow,
      carry.nanos.toString(),
      carry.limitNanos.toString(),
      carry.spentNanos.toString(),
    ],
  );
  return rows.length > 0;
}

/** Budgets in force that carry over. */
export async function carryingBudgets(source: DataSource): Promise<string[]> {
  const rows: { id: string }[] = await source.query(
    `select id from budget where not retired and definition -> 'carryOver' is not null order by id`,
  );
  return rows.map((r) => r.id);
}

/** Whether an attempt that was charged to a window is still open, as far as the books know. */
export async function hasOpenAttempts(source: DataSource, budget: string, window: string): Promise<boolean> {
  const rows: unknown[] = await source.query(
    `select 1 from attempt where state = 'opened' and terms -> 'windows' @> $1::jsonb limit 1`,
    [JSON.stringify([{ budget, window }])],
  );
  return rows.length > 0;
}
