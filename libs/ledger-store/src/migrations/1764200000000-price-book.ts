import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The price book with its status and corrections, what is known of an attempt's usage, and adjustments in the ledger. */
export class PriceBook1764200000000 implements MigrationInterface {
  readonly name = 'PriceBook1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Versions of before were all named by the configuration, and in force.
      alter table price_version
        -- Of another model that may answer; null: the backend's own.
        add column model text,
        add column digest text not null default '',
        -- Rests on the catalogue or a host's costs: its changes act from then on.
        add column derived boolean not null default false,
        -- Digest of what the operator says in it: when that changes, it acts from the instant that was written.
        add column word text,
        add column origin text not null default 'config',
        add column status text not null default 'accepted' check (status in ('accepted', 'held', 'rejected')),
        add column reasons jsonb not null default '[]',
        -- No longer named by the configuration; what was rated by it stays.
        add column withdrawn boolean not null default false,
        add column decided_by text,
        add column decided_at timestamptz,
        add column sequence bigint generated always as identity;
      create index price_version_by_backend on price_version (backend, effective_from);

      -- Prices that were learned late: attempts since then are looked at until \`until\`, and adjusted.
      create table price_correction (
        price_version text primary key,
        backend text not null,
        model text,
        since timestamptz not null,
        until timestamptz not null,
        -- All attempts since then were looked at once; after that only young ones can still be rated by an older price.
        scanned boolean not null default false,
        adjusted integer not null default 0,
        difference_nanos bigint not null default 0
      );

      -- A catalogue that was handed over; in use as long as the product comes with the same one as then.
      create table price_catalogue (
        id bigint generated always as identity primary key,
        name text not null,
        bundled text not null,
        content text not null,
        imported_by text not null,
        imported_at timestamptz not null default now()
      );

      alter table attempt
        add column usage_basis text,
        add column served_model text,
        add column served_tier text,
        -- What was used and had no rate.
        add column unpriced jsonb,
        add column native jsonb,
        add column timings jsonb,
        add column closed_at timestamptz;
      create index attempt_by_backend on attempt (backend, reserved_at);

      alter table attempt_settled
        add column marginal_nanos bigint not null default 0,
        -- The version that the amounts rest on.
        add column price_version text;
      update attempt_settled s set price_version = a.terms ->> 'priceVersion', marginal_nanos = s.cash_nanos
        from attempt a where a.attempt_id = s.attempt_id;

      -- What late prices and invoices changed of charges that had been settled: counted apart, so that what was settled in a
      -- window that is over never moves.
      alter table window_spend add column corrected_nanos bigint not null default 0;

      alter table ledger_entry drop constraint ledger_entry_kind_check,
        add constraint ledger_entry_kind_check check (kind in ('usage', 'unconfirmed', 'reversal', 'adjustment'));
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table window_spend drop column corrected_nanos;
      alter table attempt_settled drop column marginal_nanos, drop column price_version;
      drop index attempt_by_backend;
      alter table attempt drop column usage_basis, drop column served_model, drop column served_tier, drop column unpriced,
        drop column native, drop column timings, drop column closed_at;
      drop table price_catalogue, price_correction;
      drop index price_version_by_backend;
      alter table price_version drop column model, drop column digest, drop column derived, drop column word, drop column origin,
        drop column status, drop column reasons, drop column withdrawn, drop column decided_by, drop column decided_at,
        drop column sequence;
    `);
  }
}
