import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { AttemptTerms, ServiceTier, Usage, UsageBasis } from '@meritorder/contracts';

/** One physical call, as far as the books know it. Amounts come as decimal strings: bigint columns. */
@Entity('attempt')
export class AttemptEntity {
  @PrimaryColumn({ name: 'attempt_id', type: 'text' }) attemptId: string;
  @Column({ name: 'request_id', type: 'text' }) requestId: string;
  @Column({ type: 'text' }) org: string;
  @Column({ type: 'text' }) provider: string;
  @Column({ type: 'text' }) backend: string;
  @Column({ type: 'text' }) state: 'opened' | 'confirmed' | 'free' | 'unconfirmed';
  @Column({ type: 'jsonb' }) terms: AttemptTerms;
  @Column({ name: 'bound_cash_nanos', type: 'bigint' }) boundCashNanos: string;
  @Column({ name: 'bound_full_nanos', type: 'bigint' }) boundFullNanos: string;
  @Column({ name: 'reserved_at', type: 'timestamptz' }) reservedAt: Date;
  @Column({ name: 'deadline_at', type: 'timestamptz' }) deadlineAt: Date;
  @Column({ type: 'text' }) worker: string;
  @Column({ name: 'provider_call_id', type: 'text', nullable: true }) providerCallId: string | null;
  @Column({ type: 'jsonb', nullable: true }) usage: Usage | null;
  @Column({ name: 'usage_basis', type: 'text', nullable: true }) usageBasis: UsageBasis | null;
  @Column({ name: 'served_model', type: 'text', nullable: true }) servedModel: string | null;
  @Column({ name: 'served_tier', type: 'text', nullable: true }) servedTier: ServiceTier | null;
  /** What was used and had no rate. */
  @Column({ type: 'jsonb', nullable: true }) unpriced: string[] | null;
  @Column({ type: 'jsonb', nullable: true }) native: { currency: string; nanos: string; rateId: string } | null;
  @Column({ name: 'closed_at', type: 'timestamptz', nullable: true }) closedAt: Date | null;
  @Column({ type: 'text', nullable: true }) outcome: string | null;
  /** Why it ended so, where there is a reason; `hedge-lost`: the other attempt of its request answered, so its cost is waste. */
  @Column({ type: 'text', nullable: true }) code: string | null;
  @Column({ name: 'recorded_at', type: 'timestamptz' }) recordedAt: Date;
}
