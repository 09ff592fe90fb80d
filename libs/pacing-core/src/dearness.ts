import { invariant } from '@meritorder/kernel';

/** What was expected of attempts and what they came to, USD: two sums that decay alike. Plain JSON. */
export interface Dearness {
  expectedUsd: number;
  actualUsd: number;
}

/** In so many requests what was counted loses 1 - 1/e of its weight: costs are heavy-tailed, fewer are noise. */
const MEMORY_REQUESTS = 5_000;
/** For so many requests like those of the first tick expectations are believed. */
const BELIEF_REQUESTS = 500;
const GREATEST = 2;

/** @param of a tick: requests, what was expected of them, and what attempts that were settled came to beyond it. */
export function countDearness(
  before: Dearness | undefined,
  of: { requests: number; expectedUsd: number; correctionUsd: number },
): Dearness {
  invariant(of.requests > 0 && of.expectedUsd >= 0, `a tick has requests: ${of.requests}, ${of.expectedUsd}`);
  const beliefUsd = (BELIEF_REQUESTS * of.expectedUsd) / of.requests;
  const { expectedUsd, actualUsd } = before ?? { expectedUsd: beliefUsd, actualUsd: beliefUsd };
  const kept = Math.exp(-of.requests / MEMORY_REQUESTS);
  return {
    expectedUsd: expectedUsd * kept + of.expectedUsd,
    actualUsd: actualUsd * kept + of.expectedUsd + of.correctionUsd,
  };
}

/** By what factor attempts cost more than was expected of them, from a half to twice. */
export function dearness(of: Dearness | undefined): number {
  if (!of || of.expectedUsd <= 0) return 1;
  return Math.min(GREATEST, Math.max(1 / GREATEST, of.actualUsd / of.expectedUsd));
}
