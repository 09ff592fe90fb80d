import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What own hardware cost: usage of hosts, their measured energy, their closed hours, and how fast their engines are. */
export class Hardware1764300000000 implements MigrationInterface {
  readonly name = 'Hardware1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table hardware_host (
        host text primary key,
        -- The first hour that is closed.
        books_from timestamptz not null
      );
      create table hardware_backend (
        backend text primary key,
        host text not null
      );

      -- Every booking that changed what an attempt absorbed of a host, to be taken into exactly one closed hour. Sums over the
      -- ledger by time would miss what commits late.
      create table host_usage (
        attempt_id text not null,
        revision integer not null,
        host text not null,
        backend text not null,
        provider text not null,
        absorbed_nanos bigint not null,
        -- Whether its tokens and timings count: they do once, whatever corrections follow.
        first boolean not null,
        recorded_at timestamptz not null default now(),
        -- Null: in no closed hour yet.
        hour timestamptz,
        -- Whether the fit of its backend has seen its timings.
        learned boolean not null,
        primary key (attempt_id, revision)
      );
      create index host_usage_open on host_usage (host) where hour is null;
      create index host_usage_by_hour on host_usage (host, hour) where hour is not null;
      create index host_usage_to_learn on host_usage (backend) where not learned;

      create function note_host_usage() returns trigger language plpgsql as $$
      begin
        insert into host_usage (attempt_id, revision, host, backend, provider, absorbed_nanos, first, learned)
        select n.attempt_id, n.revision, b.host, a.backend, a.provider,
          case when n.state = 'confirmed' then n.full_nanos - n.cash_nanos else 0 end
            - case when o.state = 'confirmed' then o.full_nanos - o.cash_nanos else 0 end,
          o.state <> 'confirmed', o.state = 'confirmed'
        from charges_after n
          join charges_before o on o.attempt_id = n.attempt_id
          join attempt a on a.attempt_id = n.attempt_id
          join hardware_backend b on b.backend = a.backend
        where n.revision > o.revision and (n.state = 'confirmed' or o.state = 'confirmed');
        return null;
      end $$;
      create trigger attempt_settled_host_usage after update on attempt_settled
        referencing old table as charges_before new table as charges_after
        for each statement execute function note_host_usage();

      -- What meters said and no closed hour has taken yet.
      create table host_energy (
        message_id text not null,
        hour timestamptz not null,
        host text not null,
        covered_ms integer not null check (covered_ms > 0),
        millijoules bigint not null check (millijoules >= 0),
        gpu_utilization double precision,
        primary key (message_id, hour)
      );
      create index host_energy_by_host on host_energy (host, hour);

      create table host_period (
        host text not null,
        hour timestamptz not null,
        incurred jsonb not null,
        incurred_nanos bigint not null,
        allocated_nanos bigint not null,
        -- Below zero: over-absorbed.
        idle_nanos bigint not null,
        variances jsonb not null,
        attempts integer not null,
        late_attempts integer not null,
        available_gpu_us bigint not null,
        practical_gpu_us bigint not null,
        standard_gpu_us bigint not null,
        busy_gpu_us bigint not null,
        energy_basis text not null check (energy_basis in ('measured', 'partly-measured', 'configured')),
        measured_ms integer not null,
        measured_millijoules bigint not null,
        gpu_utilization double precision,
        backends jsonb not null,
        closed_at timestamptz not null default now(),
        primary key (host, hour),
        constraint allocated_and_idle_are_incurred check (allocated_nanos + idle_nanos = incurred_nanos)
      );
      create trigger host_period_append_only before update or delete on host_period
        for each row execute function refuse_change();
      create trigger host_period_no_truncate before truncate on host_period
        for each statement execute function refuse_change();

      create table hardware_fit (
        backend text primary key,
        -- As of the last attempt that was learned from.
        state jsonb,
        -- The one that prices rest on.
        priced jsonb,
        priced_at timestamptz
      );

      alter table ledger_entry drop constraint ledger_entry_kind_check,
        add constraint ledger_entry_kind_check check (kind in ('usage', 'unconfirmed', 'reversal', 'adjustment', 'host-period'));
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop trigger attempt_settled_host_usage on attempt_settled;
      drop function note_host_usage;
      drop table hardware_fit, host_period, host_energy, host_usage, hardware_backend, hardware_host;
    `);
  }
}
