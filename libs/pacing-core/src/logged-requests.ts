/** What a decision's record says of one candidate: expected value and expected cost in the budgets' basis, USD. */
export interface LoggedCandidate {
  valueUsd: number;
  expectedUsd: number;
}

/** A request of the log with every candidate that was allowed, and the budgets that it matched. */
export interface LoggedRequest {
  /** At least one. */
  candidates: readonly LoggedCandidate[];
  budgets: readonly string[];
}

/**
 * The best candidate at a price: the most value less (1 + lambda) x cost; of equals the cheaper.
 * Used where prices are sought; routers choose with the whole score.
 */
export function bestAt<Candidate extends LoggedCandidate>(candidates: readonly Candidate[], lambda: number): Candidate {
  let best = candidates[0]!;
  let bestScore = best.valueUsd - (1 + lambda) * best.expectedUsd;
  for (let index = 1; index < candidates.length; index++) {
    const candidate = candidates[index]!;
    const score = candidate.valueUsd - (1 + lambda) * candidate.expectedUsd;
    if (score > bestScore || (score === bestScore && candidate.expectedUsd < best.expectedUsd)) {
      best = candidate;
      bestScore = score;
    }
  }
  return best;
}
