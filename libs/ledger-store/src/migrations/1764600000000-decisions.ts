import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What was decided for requests, as it was recorded, and what their answers turned out to be worth. Both are kept for a while only. */
export class Decisions1764600000000 implements MigrationInterface {
  readonly name = 'Decisions1764600000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table decisions (
        org text not null,
        request_id text not null,
        -- Callers may name their requests, and name two alike: the attempt's id, or of a refusal its number and instant.
        decision_id text not null,
        attempt_number integer not null check (attempt_number > 0),
        attempt_id text,
        -- Null: refused.
        choice text,
        decided_at timestamptz not null,
        -- The body of routing.decision-made.v1.
        record jsonb not null,
        primary key (request_id, org, decision_id)
      );
      create index decisions_by_org on decisions (org, decided_at);
      -- For pruning, across orgs.
      create index decisions_by_time on decisions (decided_at);

      create table outcomes (
        org text not null,
        request_id text not null,
        outcome_id text not null,
        kind text not null check (kind in ('thumbs', 'retry', 'edit', 'judge', 'schema', 'conversion')),
        -- 0 to 1; of what is true or false, 1 or 0.
        value double precision,
        revenue_nanos bigint,
        occurred_at timestamptz not null,
        reported_at timestamptz not null,
        -- Of the decision that it was joined with; null: it waits for one.
        attempt_number integer,
        primary key (request_id, org, outcome_id)
      );
      create index outcomes_waiting on outcomes (reported_at) where attempt_number is null;
      create index outcomes_by_time on outcomes (reported_at);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`drop table outcomes, decisions;`);
  }
}
