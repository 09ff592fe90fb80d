import {
  budgetStateEventId,
  subjects,
  type BudgetExhaustedV1,
  type BudgetRecoveredV1,
  type PolicyStageChangedV1,
} from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import type { DataSource, EntityManager } from 'typeorm';
import { storedBudgets, type StoredBudget } from './budgets.js';
import { inTransaction } from './database.js';
import { putOutbox, type OutboxRow } from './outbox.js';
import { windowTotals, type WindowTotal } from './reads.js';

/** A budget that money is counted on: of a template's instance with what makes it. */
export interface BudgetSubject {
  budget: string;
  template: string | null;
  values: Readonly<Record<string, string>> | null;
}

/** What is in force of a budget, by what was committed when it was decided. */
export interface BudgetState extends BudgetSubject {
  window: string;
  /** Of the definition. */
  limitVersion: number;
  limitNanos: Nanos;
  spentNanos: Nanos;
  stage: PolicyStageChangedV1['to'];
  at: number | null;
  requestsPerMinute: number | null;
  exhausted: boolean;
  /** Of its last transition. */
  sequence: number;
}

export type BudgetTransition =
  | { kind: 'stage'; event: PolicyStageChangedV1 }
  | { kind: 'exhausted'; event: BudgetExhaustedV1 }
  | { kind: 'recovered'; event: BudgetRecoveredV1 };

export interface DecidedState {
  state: BudgetState;
  transitions: readonly BudgetTransition[];
}

export interface StateRules {
  /** The window that counts now. */
  windowOf(stored: StoredBudget): string;
  /** Undefined: nothing has changed. */
  decide(
    subject: BudgetSubject,
    stored: StoredBudget,
    known: BudgetState | undefined,
    total: WindowTotal | undefined,
  ): DecidedState | undefined;
}

/**
 * Decides the states of budgets and records what changed, with the events, in one transaction. Most of the time nothing has, so a
 * first look takes no lock; what it finds is decided again behind the lock, from totals that were committed before.
 */
export async function recordStates(
  source: DataSource,
  of: readonly BudgetSubject[],
  rules: StateRules,
): Promise<BudgetTransition[]> {
  if (of.length === 0) return [];
  const changing = new Set((await look(source.manager, of, rules, false)).map((d) => d.state.budget));
  if (changing.size === 0) return [];
  return inTransaction(source, async (manager) => {
    const decided = await look(
      manager,
      of.filter((s) => changing.has(s.budget)),
      rules,
      true,
    );
    const written = new Set(await writeStates(manager, decided));
    const transitions = decided.filter((d) => written.has(d.state.budget)).flatMap((d) => d.transitions);
    await writeTransitions(manager, transitions);
    return transitions;
  });
}

/** Budgets that act on requests although their window may have moved on. */
export async function actingStates(source: DataSource): Promise<BudgetState[]> {
  const rows: StateRow[] = await source.query(`select * from budget_state where stage <> 'none' or exhausted`);
  return rows.map(stateOf);
}

export async function budgetStates(
  source: DataSource | EntityManager,
  budgets: readonly string[],
): Promise<Map<string, BudgetState>> {
  return readStates(source, budgets, '');
}

async function look(
  manager: EntityManager,
  of: readonly BudgetSubject[],
  rules: StateRules,
  lock: boolean,
): Promise<DecidedState[]> {
  const states = await readStates(
    manager,
    of.map((s) => s.budget),
    lock ? 'for update' : '',
  );
  const stored = await storedBudgets(manager, [...new Set(of.map((s) => s.template ?? s.budget))]);
  const known = of.flatMap((subject) => {
    const budget = stored.get(subject.template ?? subject.budget);
    return budget ? [{ subject, budget, window: rules.windowOf(budget) }] : [];
  });
  const totals = new Map(
    (
      await windowTotals(
        manager,
        known.map((k) => ({ budget: k.subject.budget, window: k.window })),
      )
    ).map((t) => [`${t.budget} ${t.window}`, t]),
  );
  return known.flatMap(
    ({ subject, budget, window }) =>
      rules.decide(subject, budget, states.get(subject.budget), totals.get(`${subject.budget} ${window}`)) ?? [],
  );
}

interface StateRow {
  budget: string;
  template: string | null;
  instance_values: Record<string, string> | null;
  window_id: string;
  limit_version: number;
  limit_nanos: string;
  spent_nanos: string;
  stage: BudgetState['stage'];
  stage_at: number | null;
  requests_per_minute: number | null;
  exhausted: boolean;
  sequence: number;
}

function stateOf(row: StateRow): BudgetState {
  return {
    budget: row.budget,
    template: row.template,
    values: row.instance_values,
    window: row.window_id,
    limitVersion: row.limit_version,
    limitNanos: BigInt(row.limit_nanos),
    spentNanos: BigInt(row.spent_nanos),
    stage: row.stage,
    at: row.stage_at,
    requestsPerMinute: row.requests_per_minute,
    exhausted: row.exhausted,
    sequence: row.sequence,
  };
}

async function readStates(
  source: DataSource | EntityManager,
  budgets: readonly string[],
  lock: '' | 'for update',
): Promise<Map<string, BudgetState>> {
  const rows: StateRow[] = await source.query(
    `select * from budget_state where budget = any($1) order by budget ${lock}`,
    [budgets],
  );
  return new Map(rows.map((row) => [row.budget, stateOf(row)]));
}

/** Only over the state that was decided from. Returns the budgets that were written. */
async function writeStates(manager: EntityManager, decided: readonly DecidedState[]): Promise<string[]> {
  if (decided.length === 0) return [];
  const rows = decided.toSorted((a, b) => (a.state.budget < b.state.budget ? -1 : 1));
  const column = <T>(of: (state: BudgetState) => T): T[] => rows.map((r) => of(r.state));
  const written: { budget: string }[] = await manager.query(
    `insert into budget_state as known (budget, template, instance_values, window_id, limit_version, limit_nanos, spent_nanos, stage,
       stage_at, requests_per_minute, exhausted, sequence, changed_at)
     select b, t, v, w, lv, l, s, st, sa, r, e, q, now()
     from unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::int[], $6::bigint[], $7::bigint[], $8::text[],
       $9::double precision[], $10::int[], $11::boolean[], $12::int[], $13::int[]) as n(b, t, v, w, lv, l, s, st, sa, r, e, q, before)
     on conflict (budget) do update set window_id = excluded.window_id, limit_version = excluded.limit_version,
       limit_nanos = excluded.limit_nanos, spent_nanos = excluded.spent_nanos, stage = excluded.stage, stage_at = excluded.stage_at,
       requests_per_minute = excluded.requests_per_minute, exhausted = excluded.exhausted, sequence = excluded.sequence,
       changed_at = excluded.changed_at
       where known.sequence = any(select before from unnest($1::text[], $13::int[]) as x(budget, before) where x.budget = known.budget)
     returning budget`,
    [
      column((s) => s.budget),
      column((s) => s.template),
      column((s) => (s.values ? JSON.stringify(s.values) : null)),
      column((s) => s.window),
      column((s) => s.limitVersion),
      column((s) => s.limitNanos.toString()),
      column((s) => s.spentNanos.toString()),
      column((s) => s.stage),
      column((s) => s.at),
      column((s) => s.requestsPerMinute),
      column((s) => s.exhausted),
      column((s) => s.sequence),
      rows.map((r) => r.state.sequence - r.transitions.length),
    ],
  );
  return written.map((r) => r.budget);
}

async function writeTransitions(manager: EntityManager, transitions: readonly BudgetTransition[]): Promise<void> {
  if (transitions.length === 0) return;
  const column = <T>(of: (transition: BudgetTransition) => T): T[] => transitions.map(of);
  await manager.query(
    `insert into budget_transition (budget, sequence, kind, window_id, limit_version, from_stage, to_stage, why, limit_nanos,
       settled_nanos, unconfirmed_nanos, occurred_at)
     select * from unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::bigint[],
       $10::bigint[], $11::bigint[], $12::timestamptz[])`,
    [
      column((t) => t.event.budget),
      column((t) => t.event.sequence),
      column((t) => t.kind),
      column((t) => t.event.window),
      column((t) => t.event.limitVersion),
      column((t) => (t.kind === 'stage' ? t.event.from : null)),
      column((t) => (t.kind === 'stage' ? t.event.to : null)),
      column((t) => (t.kind === 'exhausted' ? 'spend' : t.event.why)),
      column((t) => t.event.limitNanos),
      column((t) => t.event.settledNanos),
      column((t) => t.event.unconfirmedNanos),
      column(occurredAt),
    ],
  );
  await putOutbox(manager, 'budget-policy', transitions.map(outboxRow));
}

function occurredAt(transition: BudgetTransition): string {
  switch (transition.kind) {
    case 'stage':
      return transition.event.changedAt;
    case 'exhausted':
      return transition.event.exhaustedAt;
    case 'recovered':
      return transition.event.recoveredAt;
  }
}

const PUBLISHED = {
  stage: { type: 'policy.stage-changed.v1', subject: subjects.policyStageChanged },
  exhausted: { type: 'budget.exhausted.v1', subject: subjects.budgetExhausted },
  recovered: { type: 'budget.recovered.v1', subject: subjects.budgetRecovered },
} as const;

function outboxRow(transition: BudgetTransition): OutboxRow {
  const { type, subject } = PUBLISHED[transition.kind];
  return {
    type,
    subject: subject(transition.event.org, transition.event.budget),
    messageId: budgetStateEventId(transition.kind, transition.event),
    body: transition.event,
    occurredAt: occurredAt(transition),
  };
}
