import type { TierConfig } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import { chargeNanos } from '@meritorder/margin-core';
import type { BudgetOutcome } from '../money/simulated-budgets.js';

/** What one policy made of a workload. Money is exact: integer nano-USD as text. */
export interface PolicyOutcome {
  requests: number;
  answered: number;
  /** By the code that callers would be told. */
  rejected: Record<string, number>;
  cashNanos: string;
  fullNanos: string;
  /** Mean expected quality of the answered; null: none. */
  quality: number | null;
  /** Sum of what the answers are worth by what the configuration says of quality or conversions, USD. */
  valueUsd: number;
  /** Where tiers have a charge: what customers are charged, and that less the full cost of their requests. */
  chargedNanos: string | null;
  marginNanos: string | null;
  latencySeconds: { p50: number; p95: number; p99: number } | null;
  /** Answers later than their deadline; a router would have broken them off. */
  pastDeadline: number;
  /** Answered by own hardware, of the answered. */
  localShare: number;
  answeredBy: Record<string, number>;
  /** Answers whose length was held to what a budget had left. */
  clamped: number;
  /** Of these, the answers that were cut by it. */
  cutShort: number;
  /** Under `margin`: answers of backends whose conversions are not on record, so that the learner's prior stood for them. */
  conversionsUnlearned: number;
  /** Of a period of the ledger, by backend: answers at another price version than they were decided by. */
  pricedOtherwise: Record<string, number>;
  policyChanges: number;
  budgets: BudgetOutcome[];
}

/** Adds up what happens in a run. */
export class Tally {
  private readonly rejected = new Map<string, number>();
  private readonly answeredBy = new Map<string, number>();
  private readonly pricedOtherwise = new Map<string, number>();
  private readonly latencies: Float64Array;
  private ended = 0;
  private answers = 0;
  private cashNanos = 0n;
  private fullNanos = 0n;
  private chargedNanos = 0n;
  private chargedForNanos = 0n;
  private quality = 0;
  private valueUsd = 0;
  private pastDeadline = 0;
  private local = 0;
  private conversionsUnlearned = 0;
  private clamped = 0;
  private cutShort = 0;

  constructor(
    private readonly requests: number,
    private readonly hasCharges: boolean,
  ) {
    this.latencies = new Float64Array(requests);
  }

  refuse(code: string): void {
    this.rejected.set(code, (this.rejected.get(code) ?? 0) + 1);
  }

  dispatch(of: {
    backend: string;
    local: boolean;
    quality: number;
    valueUsd: number;
    pricedOtherwise: boolean;
    conversionUnlearned: boolean;
    clamped: boolean;
    cut: boolean;
  }): void {
    this.answers += 1;
    this.answeredBy.set(of.backend, (this.answeredBy.get(of.backend) ?? 0) + 1);
    if (of.pricedOtherwise) this.pricedOtherwise.set(of.backend, (this.pricedOtherwise.get(of.backend) ?? 0) + 1);
    this.local += of.local ? 1 : 0;
    this.quality += of.quality;
    this.valueUsd += of.valueUsd;
    this.conversionsUnlearned += of.conversionUnlearned ? 1 : 0;
    this.clamped += of.clamped ? 1 : 0;
    this.cutShort += of.cut ? 1 : 0;
  }

  settle(cashNanos: Nanos, fullNanos: Nanos, tier: TierConfig | undefined, seconds: number, late: boolean): void {
    this.cashNanos += cashNanos;
    this.fullNanos += fullNanos;
    this.latencies[this.ended++] = seconds;
    this.pastDeadline += late ? 1 : 0;
    if (!tier?.charge) return;
    this.chargedNanos += chargeNanos(tier.charge, fullNanos);
    this.chargedForNanos += fullNanos;
  }

  outcome(budgets: BudgetOutcome[]): PolicyOutcome {
    const { answers } = this;
    const latencies = this.latencies.subarray(0, this.ended).sort();
    const at = (share: number): number => latencies[Math.max(0, Math.ceil(share * latencies.length) - 1)]!;
    return {
      requests: this.requests,
      answered: answers,
      rejected: sorted(this.rejected),
      cashNanos: this.cashNanos.toString(),
      fullNanos: this.fullNanos.toString(),
      quality: answers > 0 ? this.quality / answers : null,
      valueUsd: this.valueUsd,
      chargedNanos: this.hasCharges ? this.chargedNanos.toString() : null,
      marginNanos: this.hasCharges ? (this.chargedNanos - this.chargedForNanos).toString() : null,
      latencySeconds: answers > 0 ? { p50: at(0.5), p95: at(0.95), p99: at(0.99) } : null,
      pastDeadline: this.pastDeadline,
      localShare: answers > 0 ? this.local / answers : 0,
      answeredBy: sorted(this.answeredBy),
      clamped: this.clamped,
      cutShort: this.cutShort,
      conversionsUnlearned: this.conversionsUnlearned,
      pricedOtherwise: sorted(this.pricedOtherwise),
      policyChanges: budgets.reduce((sum, b) => sum + b.policyChanges, 0),
      budgets,
    };
  }
}

function sorted(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}
