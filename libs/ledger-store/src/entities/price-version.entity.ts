import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { PriceVersion } from '@meritorder/contracts';

@Entity('price_version')
export class PriceVersionEntity {
  @PrimaryColumn({ type: 'text' }) id: string;
  @Column({ type: 'text' }) backend: string;
  @Column({ name: 'effective_from', type: 'timestamptz' }) effectiveFrom: Date;
  @Column({ type: 'text', nullable: true }) model: string | null;
  @Column({ type: 'jsonb' }) definition: PriceVersion;
  @Column({ type: 'text' }) digest: string;
  @Column({ type: 'boolean' }) derived: boolean;
  /** Digest of the operator's word in it. */
  @Column({ type: 'text', nullable: true }) word: string | null;
  /** `config`, `import` or `operator`. */
  @Column({ type: 'text' }) origin: string;
  @Column({ type: 'text' }) status: 'accepted' | 'held' | 'rejected';
  @Column({ type: 'jsonb' }) reasons: { code: string; rate?: string; message: string }[];
  @Column({ type: 'boolean' }) withdrawn: boolean;
  @Column({ name: 'decided_by', type: 'text', nullable: true }) decidedBy: string | null;
  @Column({ name: 'decided_at', type: 'timestamptz', nullable: true }) decidedAt: Date | null;
  @Column({ type: 'bigint', insert: false }) sequence: string;
  @Column({ name: 'recorded_at', type: 'timestamptz', insert: false }) recordedAt: Date;
}
