import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What customers are charged, and which attempt of a request it is for. */
export class Charges1764705000000 implements MigrationInterface {
  readonly name = 'Charges1764705000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Null: the tier of the request had no charge.
      alter table attempt_settled add column charged_nanos bigint check (charged_nanos >= 0);

      -- The guard against charging a request twice: unpartitioned, written in the transaction of the entries.
      create table charge_claim (
        org text not null,
        claim text not null,
        attempt_id text not null,
        primary key (org, claim)
      );

      alter table ledger_entry drop constraint ledger_entry_kind_check,
        add constraint ledger_entry_kind_check
          check (kind in ('usage', 'unconfirmed', 'reversal', 'adjustment', 'host-period', 'charge'));
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table charge_claim;
      alter table attempt_settled drop column charged_nanos;
    `);
  }
}
