import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What pacing knows: prices and projections by budget, traffic by the hour, attempts it has counted, and what operators hold fast. */
export class Pacing1764500000000 implements MigrationInterface {
  readonly name = 'Pacing1764500000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table pacing_state (
        budget text primary key,
        state jsonb not null,
        -- Of the lease it was written under.
        fence bigint not null,
        changed_at timestamptz not null default now()
      );

      -- Hours since 1970. Dollars are estimates for projections, never booked money.
      create table pacing_hour (
        budget text not null,
        hour integer not null,
        spend_usd double precision not null,
        requests double precision not null,
        primary key (budget, hour)
      );
      create index pacing_hour_by_hour on pacing_hour (hour);

      -- Decisions and charges that were counted, so that none is counted twice; small, of the last hour.
      create table pacing_attempt (
        id text primary key,
        state jsonb not null,
        seen_at timestamptz not null
      );
      create index pacing_attempt_by_time on pacing_attempt (seen_at);

      -- The last requests with their candidates: where a first price is sought.
      create table pacing_log (
        id integer primary key check (id = 1),
        requests jsonb not null
      );

      create table pacing_override (
        budget text primary key,
        pinned_stage text,
        pinned_shadow_price double precision,
        paused boolean not null,
        reason text not null,
        changed_by text not null,
        changed_at timestamptz not null default clock_timestamp()
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`drop table pacing_override, pacing_log, pacing_attempt, pacing_hour, pacing_state`);
  }
}
