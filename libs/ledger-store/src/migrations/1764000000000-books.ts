import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Attempts, the ledger, totals of budget windows, budgets, outbox, epochs, leases. Amounts are integer nano-USD. */
export class Books1764000000000 implements MigrationInterface {
  readonly name = 'Books1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table price_version (
        id text primary key,
        backend text not null,
        effective_from timestamptz not null,
        definition jsonb not null,
        recorded_at timestamptz not null default now()
      );

      create table attempt (
        attempt_id text primary key,
        request_id text not null,
        org text not null,
        provider text not null,
        backend text not null,
        state text not null check (state in ('opened', 'confirmed', 'free', 'unconfirmed')),
        terms jsonb not null,
        bound_cash_nanos bigint not null check (bound_cash_nanos >= 0),
        bound_full_nanos bigint not null check (bound_full_nanos >= 0),
        reserved_at timestamptz not null,
        deadline_at timestamptz not null,
        worker text not null,
        provider_call_id text,
        usage jsonb,
        outcome text,
        recorded_at timestamptz not null default now()
      );
      create index attempt_unsettled on attempt (deadline_at) where state in ('opened', 'unconfirmed');
      create index attempt_by_call on attempt (provider, provider_call_id) where provider_call_id is not null;
      create index attempt_by_time on attempt (provider, reserved_at);

      -- The guard against booking twice: unpartitioned, written in the transaction of the entries.
      create table attempt_settled (
        attempt_id text primary key,
        state text not null check (state in ('confirmed', 'free', 'unconfirmed')),
        revision integer not null,
        cash_nanos bigint not null,
        full_nanos bigint not null,
        recorded_at timestamptz not null default now()
      );

      create table ledger_entry (
        id bigint generated always as identity primary key,
        attempt_id text not null,
        revision integer not null,
        kind text not null check (kind in ('usage', 'unconfirmed', 'reversal')),
        debit_account text not null,
        credit_account text not null check (credit_account <> debit_account),
        amount_nanos bigint not null check (amount_nanos > 0),
        price_version text not null,
        cause text not null,
        occurred_at timestamptz not null,
        recorded_at timestamptz not null default now()
      );
      create index ledger_entry_by_attempt on ledger_entry (attempt_id);

      create function refuse_change() returns trigger language plpgsql as $$
      begin
        raise exception '% is append-only: book a correction instead', tg_table_name using errcode = 'restrict_violation';
      end $$;
      create trigger ledger_entry_append_only before update or delete on ledger_entry
        for each row execute function refuse_change();
      create trigger ledger_entry_no_truncate before truncate on ledger_entry
        for each statement execute function refuse_change();

      create table window_spend (
        budget text not null,
        window_id text not null,
        settled_nanos bigint not null,
        unconfirmed_nanos bigint not null,
        changed_at timestamptz not null default now(),
        primary key (budget, window_id)
      );

      -- What the counters could not be told while admission was closed.
      create table untold_settlement (
        attempt_id text primary key,
        state text not null check (state in ('confirmed', 'free', 'unconfirmed')),
        cash_nanos bigint not null,
        full_nanos bigint not null
      );

      create table invoice_line (
        provider text not null,
        call_id text not null,
        attempt_id text,
        nano_usd bigint not null,
        started_at timestamptz not null,
        invoice_id text not null,
        recorded_at timestamptz not null default now(),
        primary key (provider, call_id)
      );
      create index invoice_line_by_attempt on invoice_line (attempt_id);

      create table budget (
        id text primary key,
        definition jsonb not null,
        limit_version integer not null,
        retired boolean not null default false,
        changed_at timestamptz not null default now()
      );

      create table threshold_crossing (
        budget text not null,
        window_id text not null,
        threshold numeric not null,
        limit_version integer not null,
        crossed_at timestamptz not null,
        primary key (budget, window_id, threshold, limit_version)
      );

      create table outbox (
        id bigint generated always as identity primary key,
        owner text not null,
        type text not null,
        subject text not null,
        message_id text not null,
        body jsonb not null,
        occurred_at timestamptz not null,
        traceparent text
      );
      create index outbox_by_owner on outbox (owner, id);

      create table epoch (
        id integer primary key,
        reason text not null,
        opened_at timestamptz not null default now()
      );

      create table lease (
        name text primary key,
        holder text not null,
        fence bigint not null,
        expires_at timestamptz not null
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table untold_settlement, lease, epoch, outbox, threshold_crossing, budget, invoice_line, window_spend, ledger_entry, attempt_settled, attempt, price_version;
      drop function refuse_change;
    `);
  }
}
