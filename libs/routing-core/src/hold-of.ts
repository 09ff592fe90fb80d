import type { GovernedHold } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import type { Bound } from '@meritorder/pricing-core';
import type { Able } from './able-candidates.js';

/** A budget that a candidate would be charged to, as far as its hold goes. */
export interface HoldingBudget {
  basis: 'cash' | 'full';
  strictness?: 'strict' | 'tolerant' | undefined;
  sliceTokens?: number | undefined;
}

export interface HoldSettings {
  /** Whether the request streams: nobody can watch what comes whole. */
  streams: boolean;
  choices: number;
  /** The learned length that is held. */
  quantile: 'p95' | 'p99';
  /** Of budgets that do not say. */
  sliceTokens: number;
}

/** What is reserved for a candidate. */
export interface Hold {
  bound: Bound;
  /** Output tokens of one choice: what is held at most, and the least that is useful. */
  maxTokens: number;
  minTokens: number;
  /** Absent: the hold covers the upper bound, and what it is clamped to is all that is asked of the backend. */
  governed?: Omit<GovernedHold, 'heldTokens'>;
}

/**
 * The upper bound, as soon as one strict budget pays; where all are tolerant and somebody can watch the stream, the learned length
 * of the answer (a slice at least) with an input as it is trusted to be. It grows by slices (`outputBound`).
 */
export function holdOf(candidate: Able, budgets: readonly HoldingBudget[], settings: HoldSettings): Hold {
  const { backend, bound, maxTokens, minTokens, estimate } = candidate;
  const watched = settings.streams && backend.capabilities.includes('streaming') && backend.hiddenOutput !== true;
  const costs = budgets.some(({ basis }) => bound[basis].perOutputTokenNanos > 0n);
  if (!watched || !costs || budgets.some(({ strictness }) => strictness !== 'tolerant'))
    return { bound, maxTokens, minTokens };
  const learned = settings.quantile === 'p95' ? estimate.outputTokensP95 : estimate.outputTokensP99;
  const sliceTokens = Math.min(...budgets.map((b) => b.sliceTokens ?? settings.sliceTokens));
  // Less than a slice would be used up before an answer to the first question can come.
  const held = Math.min(maxTokens, Math.max(Math.ceil(learned), Math.ceil(sliceTokens / settings.choices)));
  return {
    bound: candidate.trustedBound,
    maxTokens: held,
    minTokens: Math.min(held, minTokens),
    governed: {
      maxTokens: maxTokens * settings.choices,
      sliceTokens,
    },
  };
}

/** What a hold is for so many output tokens of all choices together. */
export function outputBound(
  bound: Bound,
  outputTokens: number,
  choices: number,
): { cashNanos: Nanos; fullNanos: Nanos } {
  const of = ({ fixedNanos, perOutputTokenNanos }: Bound['cash']): Nanos => {
    const output = perOutputTokenNanos * BigInt(outputTokens);
    const perAnswer = BigInt(choices);
    return fixedNanos + (output + perAnswer - 1n) / perAnswer;
  };
  return { cashNanos: of(bound.cash), fullNanos: of(bound.full) };
}
