/** What a policy made of the traffic. Amounts are exact integer nano-USD as decimal strings; counts are of requests. */
export interface SimulationReport {
  requests: number;
  answered: number;
  /** By the code that callers would get. */
  rejected: Record<string, number>;
  cashNanos: string;
  fullNanos: string;
  /** Energy and wear of own hardware, cash of the cloud. */
  marginalNanos: string;
  /** What customers of tiers with a charge were charged; USD, an estimate. */
  chargedUsd: number;
  /** Charged less full cost of those requests, USD. */
  marginUsd: number;
  /** Mean of the expected quality of the answers; those not answered have 0. */
  quality: number;
  p50Seconds: number;
  p95Seconds: number;
  /** Share of the answers, by backend. */
  shares: Record<string, number>;
  /** Of answers, by backends of own hardware. */
  localShare: number;
  budgets: BudgetReport[];
}

/** One budget over all its windows. */
export interface BudgetReport {
  budget: string;
  windows: number;
  /** When a request was first refused a candidate by it, ISO 8601; null: never. */
  firstBoundAt: string | null;
  /** Requests that did not get the candidate they were decided for because of it. */
  bound: number;
  /** The most that was spent and held in any window, as a share of its limit. */
  peakShare: number;
  /** Settled above the limit, most of all windows: 0 by design. */
  overshootNanos: string;
  /** Shadow prices told, and stages of the projection entered or left. */
  policyChanges: number;
}

/** Quantiles of positive numbers in constant space: bins 1 % apart, so within half a percent. */
export class Quantiles {
  private readonly counts = new Float64Array(BINS);
  private total = 0;

  add(value: number): void {
    const bin = Math.floor(Math.log(Math.max(value, LEAST) / LEAST) / STEP);
    this.counts[Math.min(BINS - 1, bin)]! += 1;
    this.total += 1;
  }

  /** 0 of nothing. */
  at(share: number): number {
    let left = share * this.total;
    for (let bin = 0; bin < BINS; bin++) {
      left -= this.counts[bin]!;
      if (left < 0) return LEAST * Math.exp((bin + 0.5) * STEP);
    }
    return 0;
  }
}

const LEAST = 0.001;
const STEP = Math.log(1.01);
/** Up to 10^6 seconds. */
const BINS = Math.ceil(Math.log(1e6 / LEAST) / STEP);
