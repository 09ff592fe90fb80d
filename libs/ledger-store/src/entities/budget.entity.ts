import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { BudgetDefinition } from '@meritorder/contracts';

@Entity('budget')
export class BudgetEntity {
  @PrimaryColumn({ type: 'text' }) id: string;
  @Column({ type: 'jsonb' }) definition: BudgetDefinition;
  @Column({ name: 'limit_version', type: 'int' }) limitVersion: number;
  @Column({ type: 'boolean', default: false }) retired: boolean;
}
