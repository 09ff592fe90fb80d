import type { PolicyOutcome } from './tally.js';

/** A policy less the baseline. Money is exact, nano-USD as text. */
export interface Difference {
  answered: number;
  rejected: number;
  cashNanos: string;
  fullNanos: string;
  quality: number | null;
  valueUsd: number;
  marginNanos: string | null;
  p50Seconds: number | null;
  p95Seconds: number | null;
  localShare: number;
}

export function differenceOf(policy: PolicyOutcome, baseline: PolicyOutcome): Difference {
  const nanos = (a: string, b: string): string => (BigInt(a) - BigInt(b)).toString();
  const number = (a: number | null | undefined, b: number | null | undefined): number | null =>
    typeof a === 'number' && typeof b === 'number' ? a - b : null;
  return {
    answered: policy.answered - baseline.answered,
    rejected: policy.requests - policy.answered - (baseline.requests - baseline.answered),
    cashNanos: nanos(policy.cashNanos, baseline.cashNanos),
    fullNanos: nanos(policy.fullNanos, baseline.fullNanos),
    quality: number(policy.quality, baseline.quality),
    valueUsd: policy.valueUsd - baseline.valueUsd,
    marginNanos:
      policy.marginNanos === null || baseline.marginNanos === null
        ? null
        : nanos(policy.marginNanos, baseline.marginNanos),
    p50Seconds: number(policy.latencySeconds?.p50, baseline.latencySeconds?.p50),
    p95Seconds: number(policy.latencySeconds?.p95, baseline.latencySeconds?.p95),
    localShare: policy.localShare - baseline.localShare,
  };
}
