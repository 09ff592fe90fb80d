import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** One transfer. The table refuses changes. */
@Entity('ledger_entry')
export class LedgerEntryEntity {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' }) id: string;
  @Column({ name: 'attempt_id', type: 'text' }) attemptId: string;
  @Column({ type: 'int' }) revision: number;
  @Column({ type: 'text' }) kind: 'usage' | 'unconfirmed' | 'reversal' | 'adjustment' | 'host-period';
  @Column({ name: 'debit_account', type: 'text' }) debitAccount: string;
  @Column({ name: 'credit_account', type: 'text' }) creditAccount: string;
  @Column({ name: 'amount_nanos', type: 'bigint' }) amountNanos: string;
  @Column({ name: 'price_version', type: 'text' }) priceVersion: string;
  @Column({ type: 'text' }) cause: string;
  @Column({ name: 'occurred_at', type: 'timestamptz' }) occurredAt: Date;
  @Column({ name: 'recorded_at', type: 'timestamptz' }) recordedAt: Date;
}
