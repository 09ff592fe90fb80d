import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What was booked in one window of a budget. */
@Entity('window_spend')
export class WindowSpendEntity {
  @PrimaryColumn({ type: 'text' }) budget: string;
  @PrimaryColumn({ name: 'window_id', type: 'text' }) windowId: string;
  @Column({ name: 'settled_nanos', type: 'bigint' }) settledNanos: string;
  @Column({ name: 'unconfirmed_nanos', type: 'bigint' }) unconfirmedNanos: string;
  /** Of a template's instance. */
  @Column({ type: 'text', nullable: true }) template: string | null;
  @Column({ name: 'instance_values', type: 'jsonb', nullable: true }) values: Record<string, string> | null;
  @Column({ name: 'changed_at', type: 'timestamptz' }) changedAt: Date;
}
