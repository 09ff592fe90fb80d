import type { DataSource, EntityManager } from 'typeorm';
import { inTransaction } from './database.js';
import { putOutbox, type OutboxRow } from './outbox.js';

/** What an operator holds fast of a budget. A row without any of it says that it was let go, and by whom. */
export interface PacingOverride {
  budget: string;
  stage: string | null;
  shadowPrice: number | null;
  paused: boolean;
  reason: string;
  by: string;
  changedAt: string;
}

export interface PacingHour {
  budget: string;
  /** Since 1970. */
  hour: number;
  spendUsd: number;
  requests: number;
}

/** An opaque state by its key. */
export interface PacingRow {
  id: string;
  state: unknown;
}

export interface StoredPacing {
  budgets: PacingRow[];
  /** Oldest first within each budget; to be read once. */
  hours: Iterable<PacingHour>;
  /** Oldest first. */
  attempts: PacingRow[];
  log: unknown;
}

export interface PacingSave {
  budgets: readonly PacingRow[];
  forgottenBudgets: readonly string[];
  hours: readonly PacingHour[];
  attempts: readonly (PacingRow & { atMs: number })[];
  forgottenAttempts: readonly string[];
  /** Absent: as it was. */
  log?: unknown;
  events: readonly OutboxRow[];
}

/** Somebody else holds the lease: what was decided under it does not count. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

export async function loadPacing(
  source: DataSource,
  most: { budgets: number; attempts: number; sinceHour: number },
): Promise<StoredPacing> {
  const budgets: { budget: string; state: unknown }[] = await source.query(
    `select budget, state from pacing_state order by changed_at desc limit $1`,
    [most.budgets],
  );
  // A row a budget: 90 days of a thousand budgets are two million hours.
  const hours: { budget: string; hours: number[]; spend: number[]; requests: number[] }[] = await source.query(
    `select budget, array_agg(hour order by hour) as hours, array_agg(spend_usd order by hour) as spend,
       array_agg(requests order by hour) as requests
     from pacing_hour where budget = any($1) and hour >= $2 group by budget`,
    [budgets.map((b) => b.budget), most.sinceHour],
  );
  const attempts: { id: string; state: unknown }[] = await source.query(
    `select id, state from (select * from pacing_attempt order by seen_at desc limit $1) as newest order by seen_at`,
    [most.attempts],
  );
  const [log]: { requests: unknown }[] = await source.query(`select requests from pacing_log`);
  return {
    budgets: budgets.map((b) => ({ id: b.budget, state: b.state })),
    hours: eachHour(hours),
    attempts,
    log: log?.requests ?? [],
  };
}

function* eachHour(
  rows: readonly { budget: string; hours: number[]; spend: number[]; requests: number[] }[],
): Generator<PacingHour> {
  for (const { budget, hours, spend, requests } of rows)
    for (const [i, hour] of hours.entries()) yield { budget, hour, spendUsd: spend[i]!, requests: requests[i]! };
}

/**
 * Writes what a tick decided, with its events, if the lease is still held.
 * @throws LeaseLostError when it is not; nothing is written then.
 */
export async function savePacing(
  source: DataSource,
  lease: { name: string; holder: string; fence: bigint },
  save: PacingSave,
): Promise<void> {
  await inTransaction(source, async (manager) => {
    const held: unknown[] = await manager.query(
      `select 1 from lease where name = $1 and holder = $2 and fence = $3 and expires_at > now() for share`,
      [lease.name, lease.holder, lease.fence.toString()],
    );
    if (held.length === 0) throw new LeaseLostError(`the lease "${lease.name}" was lost`);
    await writeBudgets(manager, lease.fence, save);
    await writeHours(manager, save.hours);
    await writeAttempts(manager, save);
    if (save.log !== undefined)
      await manager.query(
        `insert into pacing_log (id, requests) values (1, $1) on conflict (id) do update set requests = excluded.requests`,
        [JSON.stringify(save.log)],
      );
    await putOutbox(manager, 'budget-policy', save.events);
  });
}

/** Forgets hours and attempts that nothing is made of any more. */
export async function prunePacing(source: DataSource, beforeHour: number, attemptsBeforeMs: number): Promise<void> {
  await source.query(`delete from pacing_hour where hour < $1`, [beforeHour]);
  await source.query(`delete from pacing_attempt where seen_at < $1::timestamptz`, [
    new Date(attemptsBeforeMs).toISOString(),
  ]);
}

async function writeBudgets(manager: EntityManager, fence: bigint, save: PacingSave): Promise<void> {
  if (save.budgets.length > 0)
    await manager.query(
      `insert into pacing_state as known (budget, state, fence) select b, s, $3 from unnest($1::text[], $2::jsonb[]) as n(b, s)
       on conflict (budget) do update set state = excluded.state, fence = excluded.fence, changed_at = now()`,
      [save.budgets.map((b) => b.id), save.budgets.map((b) => JSON.stringify(b.state)), fence.toString()],
    );
  if (save.forgottenBudgets.length > 0)
    await manager.query(`delete from pacing_state where budget = any($1)`, [save.forgottenBudgets]);
}

async function writeHours(manager: EntityManager, hours: readonly PacingHour[]): Promise<void> {
  if (hours.length === 0) return;
  await manager.query(
    `insert into pacing_hour (budget, hour, spend_usd, requests)
     select * from unnest($1::text[], $2::int[], $3::float8[], $4::float8[])
     on conflict (budget, hour) do update set spend_usd = excluded.spend_usd, requests = excluded.requests`,
    [hours.map((h) => h.budget), hours.map((h) => h.hour), hours.map((h) => h.spendUsd), hours.map((h) => h.requests)],
  );
}

async function writeAttempts(manager: EntityManager, save: PacingSave): Promise<void> {
  if (save.attempts.length > 0)
    await manager.query(
      `insert into pacing_attempt (id, state, seen_at) select * from unnest($1::text[], $2::jsonb[], $3::timestamptz[])
       on conflict (id) do update set state = excluded.state`,
      [
        save.attempts.map((a) => a.id),
        save.attempts.map((a) => JSON.stringify(a.state)),
        save.attempts.map((a) => new Date(a.atMs).toISOString()),
      ],
    );
  if (save.forgottenAttempts.length > 0)
    await manager.query(`delete from pacing_attempt where id = any($1)`, [save.forgottenAttempts]);
}

/** States by budget, from after one of them on. */
export async function pacingStates(
  source: DataSource,
  of: { budgets?: readonly string[]; after?: string | undefined; limit: number },
): Promise<PacingRow[]> {
  return source.query(
    `select budget as id, state from pacing_state where budget > $1 and ($2::text[] is null or budget = any($2))
     order by budget limit $3`,
    [of.after ?? '', of.budgets ?? null, of.limit],
  );
}

export async function pacingOverrides(source: DataSource): Promise<Map<string, PacingOverride>> {
  const rows: {
    budget: string;
    pinned_stage: string | null;
    pinned_shadow_price: number | null;
    paused: boolean;
    reason: string;
    changed_by: string;
    changed_at: Date;
  }[] = await source.query(`select * from pacing_override`);
  return new Map(
    rows.map((row) => [
      row.budget,
      {
        budget: row.budget,
        stage: row.pinned_stage,
        shadowPrice: row.pinned_shadow_price,
        paused: row.paused,
        reason: row.reason,
        by: row.changed_by,
        changedAt: row.changed_at.toISOString(),
      },
    ]),
  );
}

/** The word of an operator on a budget; what it leaves out stays as it was. */
export async function setPacingOverride(
  source: DataSource,
  budget: string,
  word: { stage?: string | null; shadowPrice?: number | null; paused?: boolean; reason: string; by: string },
): Promise<void> {
  await source.query(
    `insert into pacing_override as known (budget, pinned_stage, pinned_shadow_price, paused, reason, changed_by)
     values ($1, $2, $3, coalesce($4, false), $5, $6)
     on conflict (budget) do update set
       pinned_stage = case when $7 then excluded.pinned_stage else known.pinned_stage end,
       pinned_shadow_price = case when $8 then excluded.pinned_shadow_price else known.pinned_shadow_price end,
       paused = coalesce($4, known.paused), reason = excluded.reason, changed_by = excluded.changed_by,
       changed_at = clock_timestamp()`,
    [
      budget,
      word.stage ?? null,
      word.shadowPrice ?? null,
      word.paused ?? null,
      word.reason,
      word.by,
      word.stage !== undefined,
      word.shadowPrice !== undefined,
    ],
  );
}
