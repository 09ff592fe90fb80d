import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Budgets that change while running, their history and states, instances of templates, carry-over, and drift that was found. */
export class Budgets1764400000000 implements MigrationInterface {
  readonly name = 'Budgets1764400000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table budget
        -- Whose word is in force.
        add column origin text not null default 'config' check (origin in ('config', 'operator')),
        -- What the configuration said last; null: it never named the budget, or names it no longer.
        add column configured jsonb,
        -- Limit versions by which thresholds are armed: of the terms, of the limit, and of single instances.
        add column armed jsonb not null default '{}',
        add column changed_by text;
      update budget set configured = case when retired then null else definition - 'limitVersion' end,
        armed = jsonb_build_object('terms', limit_version, 'limit', limit_version, 'instances', '{}'::jsonb);
      create index budget_changed on budget (changed_at);

      create table budget_change (
        id bigint generated always as identity primary key,
        budget text not null,
        limit_version integer not null,
        definition jsonb not null,
        retired boolean not null,
        origin text not null,
        changed_by text,
        recorded_at timestamptz not null default now()
      );
      create index budget_change_by_budget on budget_change (budget, id);
      insert into budget_change (budget, limit_version, definition, retired, origin, recorded_at)
        select id, limit_version, definition, retired, origin, changed_at from budget;
      create trigger budget_change_append_only before update or delete on budget_change
        for each row execute function refuse_change();

      -- Of an instance: its template, and the values that make it.
      alter table window_spend
        add column template text,
        add column instance_values jsonb;
      create index window_spend_changed on window_spend (changed_at);
      create index window_spend_instances on window_spend (template, window_id) where template is not null;

      -- The stage in force of each budget; every change of it is a transition with the next sequence.
      create table budget_state (
        budget text primary key,
        template text,
        instance_values jsonb,
        window_id text not null,
        limit_version integer not null,
        limit_nanos bigint not null,
        spent_nanos bigint not null,
        stage text not null,
        stage_at double precision,
        requests_per_minute integer,
        exhausted boolean not null,
        sequence integer not null,
        changed_at timestamptz not null
      );
      create index budget_state_acting on budget_state (budget) where stage <> 'none' or exhausted;

      create table budget_transition (
        budget text not null,
        sequence integer not null,
        kind text not null check (kind in ('stage', 'exhausted', 'recovered')),
        window_id text not null,
        limit_version integer not null,
        from_stage text,
        to_stage text,
        why text not null,
        limit_nanos bigint not null,
        settled_nanos bigint not null,
        unconfirmed_nanos bigint not null,
        occurred_at timestamptz not null,
        primary key (budget, sequence)
      );
      create trigger budget_transition_append_only before update or delete on budget_transition
        for each row execute function refuse_change();

      create table carry_over (
        budget text not null,
        window_id text not null,
        revision integer not null,
        from_window text not null,
        nanos bigint not null check (nanos >= 0),
        -- What it was computed from.
        limit_nanos bigint not null,
        spent_nanos bigint not null,
        recorded_at timestamptz not null default now(),
        primary key (budget, window_id, revision)
      );
      create trigger carry_over_append_only before update or delete on carry_over
        for each row execute function refuse_change();

      -- Attempts of a time, for comparisons; small, and cheap to keep.
      create index attempt_by_reservation on attempt using brin (reserved_at);

      create table drift (
        id bigint generated always as identity primary key,
        kind text not null check (kind in ('window', 'counter')),
        budget text not null,
        window_id text not null,
        settled_nanos bigint not null,
        unconfirmed_nanos bigint not null,
        remedy text not null,
        recorded_at timestamptz not null default now()
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop index attempt_by_reservation;
      drop table drift, carry_over, budget_transition, budget_state, budget_change;
      drop index window_spend_changed, window_spend_instances;
      alter table window_spend drop column template, drop column instance_values;
      drop index budget_changed;
      alter table budget drop column origin, drop column configured, drop column armed, drop column changed_by;
    `);
  }
}
