import type { AttemptTerms, BudgetDefinition, WindowCharge } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import type { DataSource, EntityManager } from 'typeorm';
import { AttemptEntity } from './entities/attempt.entity.js';

export interface WindowTotal {
  budget: string;
  window: string;
  /** Of an instance: its template, and the values that make it. */
  template: string | null;
  values: Record<string, string> | null;
  /** All that counts against a limit and is certain, corrections too. */
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
  /** The part of `settledNanos` that late prices and invoices brought after an attempt had been settled. */
  correctedNanos: Nanos;
}

export async function windowTotals(
  source: DataSource | EntityManager,
  keys?: readonly { budget: string; window: string }[],
): Promise<WindowTotal[]> {
  const rows: {
    budget: string;
    window_id: string;
    settled_nanos: string;
    unconfirmed_nanos: string;
    corrected_nanos: string;
    template: string | null;
    instance_values: Record<string, string> | null;
  }[] = await source.query(
    `select budget, window_id, settled_nanos, unconfirmed_nanos, corrected_nanos, template, instance_values from window_spend
     ${keys ? 'where (budget, window_id) in (select * from unnest($1::text[], $2::text[]))' : ''} order by budget, window_id`,
    keys ? [keys.map((k) => k.budget), keys.map((k) => k.window)] : [],
  );
  return rows.map((r) => ({
    budget: r.budget,
    window: r.window_id,
    template: r.template,
    values: r.instance_values,
    settledNanos: BigInt(r.settled_nanos) + BigInt(r.corrected_nanos),
    unconfirmedNanos: BigInt(r.unconfirmed_nanos),
    correctedNanos: BigInt(r.corrected_nanos),
  }));
}

export interface OpenAttempt {
  attemptId: string;
  state: 'opened' | 'unconfirmed';
  boundCashNanos: Nanos;
  boundFullNanos: Nanos;
  windows: WindowCharge[];
}

/** Totals of windows that may still be open: the longest window but `total` is a month, and an open one was changed in it. */
export async function liveWindowTotals(source: DataSource | EntityManager): Promise<WindowTotal[]> {
  const rows: { budget: string; window_id: string }[] = await source.query(
    `select budget, window_id from window_spend where window_id = 'total' or changed_at > now() - interval '40 days'`,
  );
  return rows.length === 0
    ? []
    : windowTotals(
        source,
        rows.map((r) => ({ budget: r.budget, window: r.window_id })),
      );
}

/** Windows that something was booked in during the last `withinMs`. */
export async function windowsChangedWithin(source: DataSource, withinMs: number): Promise<WindowTotal[]> {
  const rows: { budget: string; window_id: string }[] = await source.query(
    `select budget, window_id from window_spend where changed_at > now() - $1 * interval '1 ms'`,
    [withinMs],
  );
  return rows.length === 0
    ? []
    : windowTotals(
        source,
        rows.map((r) => ({ budget: r.budget, window: r.window_id })),
      );
}

/** Instances of a template in a window, those that spent most first. */
export async function instanceTotals(
  source: DataSource,
  template: string,
  window: string,
  limit: number,
): Promise<WindowTotal[]> {
  const rows: { budget: string }[] = await source.query(
    `select budget from window_spend where template = $1 and window_id = $2
     order by settled_nanos + corrected_nanos + unconfirmed_nanos desc, budget limit $3`,
    [template, window, limit],
  );
  const totals = new Map(
    (
      await windowTotals(
        source,
        rows.map((r) => ({ budget: r.budget, window })),
      )
    ).map((t) => [t.budget, t]),
  );
  return rows.flatMap((r) => totals.get(r.budget) ?? []);
}

/** What makes an instance of a template, if anything was ever booked on it. */
export async function instanceOf(
  source: DataSource,
  budget: string,
): Promise<{ template: string; values: Record<string, string> } | undefined> {
  const rows: { template: string; values: Record<string, string> }[] = await source.query(
    `select template, instance_values as values from window_spend where budget = $1 and template is not null limit 1`,
    [budget],
  );
  return rows[0];
}

/** What counters are rebuilt from, as of one instant. */
export async function rebuildSnapshot(
  source: DataSource,
): Promise<{ windows: WindowTotal[]; attempts: OpenAttempt[]; definitions: Map<string, BudgetDefinition> }> {
  return source.transaction('REPEATABLE READ', async (manager) => {
    const windows = await liveWindowTotals(manager);
    const attempts: {
      attempt_id: string;
      state: 'opened' | 'unconfirmed';
      cash: string;
      full_cost: string;
      windows: WindowCharge[];
    }[] = await manager.query(
      `select attempt_id, state, bound_cash_nanos as cash, bound_full_nanos as full_cost, terms -> 'windows' as windows
       from attempt where state in ('opened', 'unconfirmed')`,
    );
    const budgets: { id: string; definition: BudgetDefinition }[] = await manager.query(
      `select id, definition from budget`,
    );
    return {
      windows,
      attempts: attempts.map((a) => ({
        attemptId: a.attempt_id,
        state: a.state,
        boundCashNanos: BigInt(a.cash),
        boundFullNanos: BigInt(a.full_cost),
        windows: a.windows,
      })),
      definitions: new Map(budgets.map((b) => [b.id, b.definition])),
    };
  });
}

/** The number of the next epoch, above all before it and above `above`; numbers never repeat. */
export async function nextEpoch(source: DataSource, reason: string, above = 0): Promise<number> {
  const [row]: { id: number }[] = await source.query(
    `insert into epoch (id, reason) select greatest(coalesce(max(id), 0), $2) + 1, $1 from epoch returning id`,
    [reason, above],
  );
  return row!.id;
}

/** The newest epoch that was begun; 0 before the first. */
export async function latestEpoch(source: DataSource): Promise<number> {
  const [row]: { id: number | null }[] = await source.query(`select max(id) as id from epoch`);
  return row!.id ?? 0;
}

/** Opened attempts whose deadline and grace are over: nobody will close them in time. */
export async function overdueAttempts(
  source: DataSource,
  graceMs: number,
  limit: number,
): Promise<{ terms: AttemptTerms; worker: string }[]> {
  const rows = await source.query(
    `select terms, worker from attempt where state = 'opened' and deadline_at < now() - $1 * interval '1 ms' order by deadline_at limit $2`,
    [graceMs, limit],
  );
  return rows as { terms: AttemptTerms; worker: string }[];
}

export async function unsettledAttempts(source: DataSource, limit = 10_000): Promise<AttemptEntity[]> {
  return source
    .getRepository(AttemptEntity)
    .find({ where: [{ state: 'opened' }, { state: 'unconfirmed' }], order: { reservedAt: 'ASC' }, take: limit });
}

export async function attemptsByIds(source: DataSource, ids: readonly string[]): Promise<AttemptEntity[]> {
  if (ids.length === 0) return [];
  return source
    .getRepository(AttemptEntity)
    .createQueryBuilder('a')
    .where('a.attempt_id = any(:ids)', { ids })
    .getMany();
}

/** Sum of all accounts; zero, or the ledger is broken. */
export async function trialBalance(source: DataSource): Promise<{ account: string; balanceNanos: Nanos }[]> {
  const rows: { account: string; balance: string }[] = await source.query(
    `select account, sum(amount)::text as balance from (
       select debit_account as account, amount_nanos as amount from ledger_entry
       union all select credit_account, -amount_nanos from ledger_entry) as postings
     group by account order by account`,
  );
  return rows.map((r) => ({ account: r.account, balanceNanos: BigInt(r.balance) }));
}
