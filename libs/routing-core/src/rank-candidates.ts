import type { BackendConfig, PriceVersion } from '@meritorder/contracts';
import { nanosToUsd, type Nanos } from '@meritorder/kernel';
import { boundOf, costNanos, compileRates, type Bound } from '@meritorder/pricing-core';
import type { Requirements } from './requirements.js';

/** One backend as the router sees it when it decides. */
export interface BackendView {
  backend: BackendConfig;
  price: PriceVersion | undefined;
  /** Live workers with room; 0 when none is heard of. */
  workersWithRoom: number;
  workersAlive: number;
  breakerClosed: boolean;
}

export interface TokenEstimate {
  /** Expected input tokens; scores and the context filter use it. */
  inputExpected: number;
  /** Upper bound of input tokens by backend, since each has its own template; undefined: unbounded. */
  inputBound: (backend: BackendConfig) => number | undefined;
  /** Expected output tokens of one choice. */
  outputExpected: number;
}

export interface Ranked {
  backend: BackendConfig;
  price: PriceVersion;
  bound: Bound;
  /** Output tokens of one choice: what is asked for, and the least that is useful. */
  maxTokens: number;
  minTokens: number;
  expectedCashNanos: Nanos;
  expectedFullNanos: Nanos;
}

export type ExclusionCode = 'unable' | 'unpriced' | 'unavailable' | 'above-cap';
export interface Excluded {
  backend: BackendConfig;
  code: ExclusionCode;
  why: string;
}

/** Below this many output tokens an answer is of little use, so a hold is not clamped further. */
const LEAST_USEFUL_OUTPUT_TOKENS = 64;

/**
 * Cheapest that is able: filters out what cannot serve the request, and orders the rest by expected cash cost, then by
 * expected full cost, then by id, so that the same inputs always give the same order.
 */
export function rankCandidates(
  views: readonly BackendView[],
  requirements: Requirements,
  estimate: TokenEstimate,
  maxCostNanos: Nanos | undefined,
): { ranked: Ranked[]; excluded: Excluded[] } {
  const ranked: Ranked[] = [];
  const excluded: Excluded[] = [];
  for (const view of views) {
    const outcome = consider(view, requirements, estimate, maxCostNanos);
    if ('code' in outcome) excluded.push(outcome);
    else ranked.push(outcome);
  }
  ranked.sort(
    (a, b) =>
      compare(a.expectedCashNanos, b.expectedCashNanos) ||
      compare(a.expectedFullNanos, b.expectedFullNanos) ||
      compare(a.backend.id, b.backend.id),
  );
  return { ranked, excluded };
}

function consider(
  { backend, price, workersAlive, workersWithRoom, breakerClosed }: BackendView,
  requirements: Requirements,
  estimate: TokenEstimate,
  maxCostNanos: Nanos | undefined,
): Ranked | Excluded {
  const exclude = (code: ExclusionCode, why: string): Excluded => ({ backend, code, why });
  const missing = requirements.capabilities.filter((c) => !backend.capabilities.includes(c));
  if (missing.length > 0) return exclude('unable', `lacks ${missing.join(', ')}`);
  if (requirements.unbounded) return exclude('unable', `${requirements.unbounded} has no cost bound`);
  const contextLeft = Math.floor(backend.contextTokens - estimate.inputExpected);
  if (contextLeft < 1) {
    return exclude(
      'unable',
      `about ${Math.ceil(estimate.inputExpected)} input tokens exceed its context of ${backend.contextTokens}`,
    );
  }
  const inputBound = estimate.inputBound(backend);
  if (inputBound === undefined)
    return exclude('unable', 'the input has parts (images, audio, files) without a cost bound');
  if (!price) return exclude('unpriced', 'has no price in force');
  if (workersAlive === 0) return exclude('unavailable', 'no live worker');
  if (!breakerClosed) return exclude('unavailable', 'cooling down after failures');
  if (workersWithRoom === 0) return exclude('unavailable', 'all workers are busy');

  const asked = Math.min(requirements.maxTokens ?? backend.maxOutputTokens, backend.maxOutputTokens);
  const maxTokens = Math.max(1, Math.min(asked, contextLeft));
  const bound = boundOf(price, { inputTokensBound: inputBound, choices: requirements.choices });
  const output = Math.min(estimate.outputExpected, maxTokens) * requirements.choices;
  const usage = {
    inputTokens: Math.ceil(estimate.inputExpected),
    cacheReadTokens: 0,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    outputTokens: Math.ceil(output),
    requests: 1,
  };
  const candidate: Ranked = {
    backend,
    price,
    bound,
    maxTokens,
    minTokens: Math.min(maxTokens, LEAST_USEFUL_OUTPUT_TOKENS),
    expectedCashNanos: costNanos(compileRates(price.cash), usage),
    expectedFullNanos: costNanos(compileRates(price.full), usage),
  };
  return maxCostNanos === undefined ? candidate : capped(candidate, maxCostNanos, exclude);
}

/** The caller's own cap clamps the output as a budget would. */
function capped(
  candidate: Ranked,
  maxCostNanos: Nanos,
  exclude: (code: ExclusionCode, why: string) => Excluded,
): Ranked | Excluded {
  const { fixedNanos, perOutputTokenNanos } = candidate.bound.cash;
  const room = maxCostNanos - fixedNanos;
  const affordable =
    perOutputTokenNanos === 0n
      ? room >= 0n
        ? candidate.maxTokens
        : -1
      : room < 0n
        ? -1
        : Number(room / perOutputTokenNanos);
  if (affordable < candidate.minTokens) {
    const least = fixedNanos + perOutputTokenNanos * BigInt(candidate.minTokens);
    return exclude('above-cap', `may cost $${nanosToUsd(least)} for ${candidate.minTokens} output tokens`);
  }
  return { ...candidate, maxTokens: Math.min(candidate.maxTokens, affordable) };
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** One sentence for people. */
export function reasonFor(chosen: Ranked, ranked: readonly Ranked[], skipped: readonly string[]): string {
  const next = ranked.find((r) => r !== chosen && !skipped.includes(r.backend.id));
  const able = ranked.length === 1 ? 'the only able backend' : `the cheapest of ${ranked.length} able backends`;
  const expected = `$${nanosToUsd(chosen.expectedCashNanos)} expected`;
  const then = next ? `; next ${next.backend.id} at $${nanosToUsd(next.expectedCashNanos)}` : '';
  const before = skipped.length > 0 ? `, after ${skipped.join(', ')} could not take it` : '';
  return `${chosen.backend.id}: ${able} at ${expected}${then}${before}`;
}
