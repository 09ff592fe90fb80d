import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { KeyTerms } from '@meritorder/contracts';

/** Its secrets are in `api_key_secrets`, as hashes. */
@Entity('api_keys')
export class ApiKeyEntity {
  @PrimaryColumn({ type: 'text' }) org: string;
  @PrimaryColumn({ type: 'text' }) id: string;
  @Column({ type: 'jsonb' }) terms: KeyTerms;
  @Column({ name: 'created_at', type: 'timestamptz' }) createdAt: Date;
  @Column({ name: 'created_by', type: 'text' }) createdBy: string;
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true }) expiresAt: Date | null;
  @Column({ name: 'rotated_at', type: 'timestamptz', nullable: true }) rotatedAt: Date | null;
  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true }) revokedAt: Date | null;
  @Column({ name: 'revoked_by', type: 'text', nullable: true }) revokedBy: string | null;
}
