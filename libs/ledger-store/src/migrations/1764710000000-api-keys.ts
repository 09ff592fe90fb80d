import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Keys that are made while everything runs, and the answers that idempotency keys stand for. No secret is in either. */
export class ApiKeys1764710000000 implements MigrationInterface {
  readonly name = 'ApiKeys1764710000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table api_keys (
        org text not null,
        id text not null,
        -- What it is bound to and may do.
        terms jsonb not null,
        created_at timestamptz not null default now(),
        created_by text not null,
        expires_at timestamptz,
        rotated_at timestamptz,
        revoked_at timestamptz,
        revoked_by text,
        primary key (org, id)
      );

      create table api_key_secrets (
        -- Hex SHA-256 of the secret, which is random enough for a plain hash.
        digest text primary key check (digest ~ '^[0-9a-f]{64}$'),
        org text not null,
        key_id text not null,
        made_at timestamptz not null default clock_timestamp(),
        -- Of a secret that was replaced: the end of its grace.
        valid_until timestamptz,
        -- Rises with every change, so that routers and gateways never take an older word for a newer one.
        revision integer not null default 1,
        changed_at timestamptz not null default clock_timestamp(),
        -- Whether the bucket KEYS has this revision.
        told boolean not null default false,
        foreign key (org, key_id) references api_keys
      );
      create index api_key_secrets_of on api_key_secrets (org, key_id);
      create index api_key_secrets_untold on api_key_secrets (changed_at) where not told;

      create table idempotency_answers (
        org text not null,
        -- Hex SHA-256 of the key: any text may be one.
        key_hash text not null,
        fingerprint text not null,
        request_id text not null,
        -- unkept: answered, with an answer above what is kept.
        state text not null check (state in ('in-flight', 'finished', 'unkept')),
        claimed_at timestamptz not null,
        expires_at timestamptz not null,
        status integer,
        headers jsonb,
        body bytea,
        primary key (org, key_hash),
        check ((state = 'finished') = (status is not null and headers is not null and body is not null))
      );
      -- Answers are JSON and text of models, read once at most: compressing them costs more than it saves.
      alter table idempotency_answers alter column body set storage external;
      create index idempotency_answers_by_end on idempotency_answers (expires_at);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`drop table idempotency_answers, api_key_secrets, api_keys;`);
  }
}
