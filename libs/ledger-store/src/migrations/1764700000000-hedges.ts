import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Why an attempt ended as it did: what a hedge that lost has cost is told from other cancelled attempts by it. */
export class Hedges1764700000000 implements MigrationInterface {
  readonly name = 'Hedges1764700000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Of usage.attempt-closed; null: none was given, or the attempt was booked before there was this column.
      alter table attempt add column code text;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`alter table attempt drop column code;`);
  }
}
