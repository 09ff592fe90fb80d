import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { PriceVersion } from '@meritorder/contracts';

@Entity('price_version')
export class PriceVersionEntity {
  @PrimaryColumn({ type: 'text' }) id: string;
  @Column({ type: 'text' }) backend: string;
  @Column({ name: 'effective_from', type: 'timestamptz' }) effectiveFrom: Date;
  @Column({ type: 'jsonb' }) definition: PriceVersion;
}
