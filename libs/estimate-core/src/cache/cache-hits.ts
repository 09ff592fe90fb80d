import type { CachePlan } from './prefix-cache.js';

/** What reported usage says of one backend's cache for one org; JSON, constant size. Decayed tokens. */
export interface CacheHits {
  /** Reads that the plan foresaw, and what was read in those requests. */
  readonly planned: number;
  readonly readOfPlanned: number;
  /** Input of the requests for which no read was foreseen, and what was read in them all the same. */
  readonly unplanned: number;
  readonly readOfUnplanned: number;
  /** Reports. */
  readonly seen: number;
}

/**
 * Before any report four of five planned tokens are expected to be read (OpenAI sends a prefix to another machine now and then,
 * and beyond 15 requests a minute), as if that had been seen on 20,000 tokens; and none unplanned, as if on 50,000.
 */
const PRIOR_PLANNED_TOKENS = 20_000;
const PRIOR_SHARE = 0.8;
const PRIOR_UNPLANNED_TOKENS = 50_000;
/** Reports after which one counts 1/e. */
const MEMORY_REPORTS = 500;

export const UNLEARNED_HITS: CacheHits = { planned: 0, readOfPlanned: 0, unplanned: 0, readOfUnplanned: 0, seen: 0 };

export function learnCacheHits(
  state: CacheHits,
  report: { readonly plannedTokens: number; readonly inputTokens: number; readonly readTokens: number },
): CacheHits {
  const keep = 1 - 1 / MEMORY_REPORTS;
  const planned = report.plannedTokens > 0;
  return {
    planned: state.planned * keep + report.plannedTokens,
    readOfPlanned: state.readOfPlanned * keep + (planned ? report.readTokens : 0),
    unplanned: state.unplanned * keep + (planned ? 0 : report.inputTokens),
    readOfUnplanned: state.readOfUnplanned * keep + (planned ? 0 : report.readTokens),
    seen: state.seen + 1,
  };
}

/** How input is expected to split, tokens, not rounded; together at most the input. */
export interface InputSplit {
  readonly uncached: number;
  readonly cacheRead: number;
  readonly cacheWrite5m: number;
  readonly cacheWrite1h: number;
  readonly basis: 'none' | 'planned' | 'learned';
}

/** @param input all input tokens that are expected */
export function splitInput(input: number, plan: CachePlan, hits: CacheHits): InputSplit {
  const share = (hits.readOfPlanned + PRIOR_SHARE * PRIOR_PLANNED_TOKENS) / (hits.planned + PRIOR_PLANNED_TOKENS);
  const unplannedShare = hits.readOfUnplanned / (hits.unplanned + PRIOR_UNPLANNED_TOKENS);
  const cacheRead = Math.min(input, plan.read > 0 ? plan.read * share : input * unplannedShare);
  // What is marked and not read is written; the part that is kept for an hour comes first.
  const cacheWrite1h = Math.max(0, Math.min(input - cacheRead, plan.marked1h - cacheRead));
  const cacheWrite5m = Math.max(
    0,
    Math.min(input - cacheRead - cacheWrite1h, plan.marked1h + plan.marked5m - cacheRead - cacheWrite1h),
  );
  return {
    uncached: input - cacheRead - cacheWrite1h - cacheWrite5m,
    cacheRead,
    cacheWrite5m,
    cacheWrite1h,
    basis: hits.seen > 0 ? 'learned' : plan.read + plan.marked5m + plan.marked1h > 0 ? 'planned' : 'none',
  };
}
