import type { Basis, MeteringUsageRatedV1, RoutingDecisionMadeV1 } from '@meritorder/contracts';

/** What a decision says of one window that its request could have been charged to; USD in the budget's basis. */
export interface DecidedCharge {
  budget: string;
  window: string;
  basis: Basis;
  /** E[cost] of what was chosen; 0 when it was refused, or went where this budget pays nothing. */
  expectedUsd: number;
  /** What this budget's own price held back: what would have been chosen without it, less what was. */
  heldBackUsd: number;
  /** E[cost] of the cheapest candidate in this basis. */
  cheapestUsd: number;
}

export interface LoggedCandidate {
  backend: string;
  valueUsd: number;
  /** As far as the objective counts it: 0 under `quality`, which feels money only through shadow prices. */
  marginalUsd: number;
  cashUsd: number;
  fullUsd: number;
}

/** A request with its candidates, for first prices. */
export interface LoggedDecision {
  candidates: LoggedCandidate[];
  /** The shadow prices that it was decided by. */
  budgets: { budget: string; basis: Basis; shadowPrice: number }[];
}

export interface DecisionFact {
  type: 'decision';
  /** Of the attempt; of a refusal, which makes none, of the request and its attempt number. */
  id: string;
  atMs: number;
  charges: DecidedCharge[];
  /** Absent: values were not worked out. */
  logged?: LoggedDecision;
}

export interface RatedCharge {
  budget: string;
  window: string;
  basis: Basis;
  template: string | null;
  values: Record<string, string> | null;
}

export interface UsageFact {
  type: 'usage';
  /** Of the attempt. */
  id: string;
  revision: number;
  atMs: number;
  charges: RatedCharge[];
  /** What the revision changed; of the first all of it. */
  cashUsd: number;
  fullUsd: number;
}

export type TrafficFact = DecisionFact | UsageFact;

/** Candidates of one request that are read: the record may have a thousand, and prices are sought among few. */
const MOST_CANDIDATES = 50;
/** As many windows as a request may be charged to, over candidates of different providers. */
const MOST_CHARGES = 128;

type Candidate = RoutingDecisionMadeV1['candidates'][number];
type CandidateBudgets = NonNullable<Candidate['budgets']>;

/** Undefined: the record does not say which budgets were looked at, or is the copy of an org, whose whole comes by itself. */
export function decisionFact(record: RoutingDecisionMadeV1): DecisionFact | undefined {
  if (record.budgetsWithheld) return undefined;
  const windows = new Map<string, CandidateBudgets[number]>();
  for (const { budgets } of record.candidates)
    for (const each of budgets ?? [])
      if (windows.size < MOST_CHARGES) windows.set(`${each.budget} ${each.window}`, each);
  if (windows.size === 0) return undefined;
  const chosen = record.candidates.find(({ backend }) => backend === record.choice);
  const possible = record.candidates.filter(({ excluded }) => excluded === null);
  const logged = loggedOf(record.objective, possible, [...windows.values()]);
  const atMs = Date.parse(record.decidedAt);
  return {
    type: 'decision',
    id: record.attemptId ?? `${record.requestId}/${record.attemptNumber}`,
    atMs,
    charges: [...windows.values()].map(({ budget, window, basis, shadowPrice }) => {
      const expectedUsd = chosen && isOn(chosen, budget) ? (usdOf(chosen, basis) ?? 0) : 0;
      const unpriced = shadowPrice > 0 ? unpricedUsd(possible, budget, basis) : undefined;
      return {
        budget,
        window,
        basis,
        expectedUsd,
        heldBackUsd: Math.max(0, (unpriced ?? 0) - expectedUsd),
        cheapestUsd: Math.min(...possible.map((c) => (isOn(c, budget) ? (usdOf(c, basis) ?? 0) : 0)), expectedUsd),
      };
    }),
    ...(logged ? { logged } : {}),
  };
}

export function usageFact(rated: MeteringUsageRatedV1): UsageFact {
  const { cashNanos, fullNanos } = rated.change;
  return {
    type: 'usage',
    id: rated.attemptId,
    revision: rated.revision,
    atMs: Date.parse(rated.occurredAt),
    cashUsd: Number(cashNanos) / 1e9,
    fullUsd: Number(fullNanos) / 1e9,
    charges: rated.windows.map(({ budget, window, basis, template, values }) => ({
      budget,
      window,
      basis,
      template: template ?? null,
      values: values ?? null,
    })),
  };
}

function usdOf(candidate: Candidate, basis: Basis): number | null {
  return basis === 'cash' ? candidate.expectedCashUsd : candidate.expectedFullUsd;
}

function isOn(candidate: Candidate, budget: string): boolean {
  return (candidate.budgets ?? []).some((b) => b.budget === budget);
}

/** What the best candidate would cost a budget if its own price were 0. Scores are linear in prices, so its part is added again. */
function unpricedUsd(candidates: readonly Candidate[], budget: string, basis: Basis): number | undefined {
  let best: { scoreUsd: number; costUsd: number } | undefined;
  for (const candidate of candidates) {
    if (candidate.scoreUsd === undefined) continue;
    const own = candidate.budgets?.find((b) => b.budget === budget);
    const costUsd = own ? (usdOf(candidate, basis) ?? 0) : 0;
    const scoreUsd = candidate.scoreUsd + (own?.shadowPrice ?? 0) * costUsd;
    if (!best || scoreUsd > best.scoreUsd) best = { scoreUsd, costUsd };
  }
  return best?.costUsd;
}

function loggedOf(
  objective: RoutingDecisionMadeV1['objective'],
  possible: readonly Candidate[],
  windows: CandidateBudgets,
): LoggedDecision | undefined {
  const candidates = possible.slice(0, MOST_CANDIDATES).flatMap((c): LoggedCandidate[] => {
    if (c.valueUsd === undefined || c.expectedCashUsd === null || c.expectedFullUsd === null) return [];
    const { backend, valueUsd, expectedCashUsd, expectedFullUsd } = c;
    const marginalUsd = objective === 'quality' ? 0 : (c.numbers?.marginalUsd ?? expectedCashUsd);
    return [{ backend, valueUsd, marginalUsd, cashUsd: expectedCashUsd, fullUsd: expectedFullUsd }];
  });
  if (candidates.length === 0) return undefined;
  return {
    candidates,
    budgets: windows.map(({ budget, basis, shadowPrice }) => ({ budget, basis, shadowPrice })),
  };
}
