import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Responses that a later request may refer to by their ids, or by those of their items. */
export class KeptResponses1764720000000 implements MigrationInterface {
  readonly name = 'KeptResponses1764720000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table kept_responses (
        org text not null,
        id text not null,
        -- The response that it goes on from.
        previous text,
        -- What was new in its request; JSON as text, for jsonb has no U+0000.
        input text not null,
        response text not null,
        expires_at timestamptz not null,
        primary key (org, id)
      );
      create index kept_responses_by_end on kept_responses (expires_at);

      create table kept_response_items (
        org text not null,
        id text not null,
        response_id text not null,
        item text not null,
        primary key (org, id),
        foreign key (org, response_id) references kept_responses on delete cascade
      );
      create index kept_response_items_of on kept_response_items (org, response_id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`drop table kept_response_items, kept_responses;`);
  }
}
