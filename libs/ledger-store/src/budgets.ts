import type { BudgetDefinition } from '@meritorder/contracts';
import type { DataSource, EntityManager } from 'typeorm';
import { inTransaction } from './database.js';

/** Versions of a budget's limit from which on its thresholds are armed. */
export interface Armed {
  /** Since when everything but the limit is what it is. */
  terms: number;
  /** Since when the limit is. */
  limit: number;
  /** Since when the limit of a single instance is, by its id. */
  instances: Readonly<Record<string, number>>;
}

export type BudgetOrigin = 'config' | 'operator';

export interface BudgetWrite {
  definition: BudgetDefinition;
  retired: boolean;
  /** Whose word is in force. */
  origin: BudgetOrigin;
  /** What the configuration said last, if it names the budget. */
  configured: Omit<BudgetDefinition, 'limitVersion'> | null;
  armed: Armed;
  changedBy: string | null;
}
export interface StoredBudget extends BudgetWrite {
  changedAt: string;
}

interface BudgetRow {
  definition: BudgetDefinition;
  retired: boolean;
  origin: BudgetOrigin;
  configured: StoredBudget['configured'];
  armed: Armed;
  changed_by: string | null;
  changed_at: Date;
}

const COLUMNS = `definition, retired, origin, configured, armed, changed_by, changed_at`;
const CHUNK = 1_000;

/**
 * Changes budgets: what is stored of them (all, or one) goes through `plan`, and what it returns is written
 * with its history, in one transaction that no other change runs beside.
 * @throws whatever `plan` throws; nothing is changed then.
 */
export async function changeBudgets(
  source: DataSource,
  of: 'all' | { id: string },
  plan: (stored: ReadonlyMap<string, StoredBudget>) => readonly BudgetWrite[],
): Promise<readonly BudgetWrite[]> {
  return inTransaction(source, async (manager) => {
    await manager.query(`lock table budget in share row exclusive mode`);
    const stored = of === 'all' ? await read(manager, `true`, []) : await read(manager, `id = $1`, [of.id]);
    const writes = plan(byId(stored));
    for (let i = 0; i < writes.length; i += CHUNK) await write(manager, writes.slice(i, i + CHUNK));
    return writes;
  });
}

/** The different sets of attributes (sorted, separated by blanks) that budgets in force of an org select by, and of those that span orgs. */
export async function selectorShapes(source: DataSource, org: string | undefined, except: string): Promise<string[]> {
  const rows: { shape: string }[] = await source.query(
    `select distinct (
       select string_agg(key, ' ' order by key collate "C") from (
         select jsonb_object_keys(definition -> 'selector') as key
         union select jsonb_array_elements_text(coalesce(definition -> 'per', '[]'))
       ) as keys
     ) as shape from budget where not retired and id <> $2 and definition -> 'selector' ->> 'org' is not distinct from $1`,
    [org ?? null, except],
  );
  return rows.map((r) => r.shape);
}

/** Budgets by id, retired ones too. */
export async function storedBudgets(
  source: DataSource | EntityManager,
  ids: readonly string[],
): Promise<Map<string, StoredBudget>> {
  return ids.length === 0 ? new Map() : byId(await read(source, `id = any($1)`, [ids]));
}

/** Budgets in force in the order of their ids, from after one of them on. */
export async function listBudgets(
  source: DataSource,
  { org, after = '', limit }: { org?: string | undefined; after?: string | undefined; limit: number },
): Promise<StoredBudget[]> {
  return read(
    source,
    `not retired and id > $1 and ($2::text is null or definition -> 'selector' ->> 'org' = $2) order by id limit $3`,
    [after, org ?? null, limit],
  );
}

/** Budgets that were changed in the last `withinMs`, retired ones too. */
export async function budgetsChangedWithin(source: DataSource, withinMs: number): Promise<StoredBudget[]> {
  return read(source, `changed_at > now() - $1 * interval '1 ms'`, [withinMs]);
}

export async function budgetIdsInForce(source: DataSource): Promise<string[]> {
  const rows: { id: string }[] = await source.query(`select id from budget where not retired order by id`);
  return rows.map((r) => r.id);
}

/** Definitions in force at some time since an instant, oldest first: the one in force then, and all later ones. */
export async function definitionsSince(
  source: DataSource | EntityManager,
  budget: string,
  sinceMs: number | null,
): Promise<{ definition: BudgetDefinition; recordedAtMs: number }[]> {
  const rows: { definition: BudgetDefinition; recorded_at: Date }[] = await source.query(
    `select definition, recorded_at from budget_change where budget = $1 and id >= coalesce(
       (select max(id) from budget_change where budget = $1 and recorded_at <= $2::timestamptz), 0) order by id`,
    [budget, sinceMs === null ? null : new Date(sinceMs).toISOString()],
  );
  return rows.map((r) => ({ definition: r.definition, recordedAtMs: r.recorded_at.getTime() }));
}

async function read(source: DataSource | EntityManager, where: string, parameters: unknown[]): Promise<StoredBudget[]> {
  const rows: BudgetRow[] = await source.query(`select ${COLUMNS} from budget where ${where}`, parameters);
  return rows.map(({ changed_by, changed_at, ...row }) => ({
    ...row,
    changedBy: changed_by,
    changedAt: changed_at.toISOString(),
  }));
}

async function write(manager: EntityManager, rows: readonly BudgetWrite[]): Promise<void> {
  await manager.query(
    `with written as (
       insert into budget (id, definition, limit_version, retired, origin, configured, armed, changed_by, changed_at)
       select *, clock_timestamp() from unnest($1::text[], $2::jsonb[], $3::int[], $4::boolean[], $5::text[], $6::jsonb[], $7::jsonb[], $8::text[])
       on conflict (id) do update set definition = excluded.definition, limit_version = excluded.limit_version,
         retired = excluded.retired, origin = excluded.origin, configured = excluded.configured, armed = excluded.armed,
         changed_by = excluded.changed_by, changed_at = excluded.changed_at
       returning id, limit_version, definition, retired, origin, changed_by, changed_at
     )
     insert into budget_change (budget, limit_version, definition, retired, origin, changed_by, recorded_at) select * from written`,
    [
      rows.map((r) => r.definition.id),
      rows.map((r) => JSON.stringify(r.definition)),
      rows.map((r) => r.definition.limitVersion),
      rows.map((r) => r.retired),
      rows.map((r) => r.origin),
      rows.map((r) => (r.configured ? JSON.stringify(r.configured) : null)),
      rows.map((r) => JSON.stringify(r.armed)),
      rows.map((r) => r.changedBy),
    ],
  );
}

function byId(rows: readonly StoredBudget[]): Map<string, StoredBudget> {
  return new Map(rows.map((row) => [row.definition.id, row]));
}
