import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { BudgetDefinition } from '@meritorder/contracts';

@Entity('budget')
export class BudgetEntity {
  @PrimaryColumn({ type: 'text' }) id: string;
  @Column({ type: 'jsonb' }) definition: BudgetDefinition;
  @Column({ name: 'limit_version', type: 'int' }) limitVersion: number;
  @Column({ type: 'boolean', default: false }) retired: boolean;
  /** Whose word is in force. */
  @Column({ type: 'text' }) origin: 'config' | 'operator';
  /** What the configuration said last, if it names the budget. */
  @Column({ type: 'jsonb', nullable: true }) configured: Omit<BudgetDefinition, 'limitVersion'> | null;
  @Column({ name: 'changed_by', type: 'text', nullable: true }) changedBy: string | null;
  @Column({ name: 'changed_at', type: 'timestamptz' }) changedAt: Date;
}
