import type { Attribution, Kind, Refusal, RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { boundNanos } from '@meritorder/pricing-core';
import type { Excluded, Ranked } from '@meritorder/routing-core';

export interface Decision {
  request: { requestId: string; attribution: Attribution; kind: Kind };
  route: string;
  attemptNumber: number;
  attemptId: string | undefined;
  ranked: readonly Ranked[];
  excluded: readonly Excluded[];
  chosen: Ranked | undefined;
  refusal: Refusal | undefined;
  reason: string;
  maxTokens: number | undefined;
  decidedAtMs: number;
  epoch: number;
}

/** All candidates with their numbers, the choice and why: the body of `routing.decision-made`. */
export function decisionRecord(d: Decision): RoutingDecisionMadeV1 {
  const first = (d.chosen ?? d.ranked[0])?.estimate;
  return {
    requestId: d.request.requestId,
    ...(d.attemptId === undefined ? {} : { attemptId: d.attemptId }),
    attemptNumber: d.attemptNumber,
    attribution: d.request.attribution,
    kind: d.request.kind,
    route: d.route,
    objective: 'cheapest',
    decidedAt: new Date(d.decidedAtMs).toISOString(),
    epoch: d.epoch,
    inputTokensExpected: first?.inputTokensExpected ?? 0,
    inputTokensBound: first?.inputTokensBound ?? 0,
    outputTokensExpected: first?.outputTokensExpected ?? 0,
    maxTokens: d.maxTokens ?? null,
    candidates: [...d.ranked.map(candidate), ...d.excluded.map(exclusion)],
    choice: d.chosen?.backend.id ?? null,
    probability: d.chosen ? 1 : 0,
    refusal: d.refusal?.code ?? null,
    reason: d.reason,
  };
}

type Candidate = RoutingDecisionMadeV1['candidates'][number];

/** Expected costs are estimates for a score, so they may be floats; bounds are money. */
function candidate(r: Ranked): Candidate {
  return {
    backend: r.backend.id,
    priceVersion: r.price.id,
    expectedCashUsd: Number(r.expectedCashNanos) / 1e9,
    expectedFullUsd: Number(r.expectedFullNanos) / 1e9,
    inputTokensExpected: r.estimate.inputTokensExpected,
    cacheReadTokensExpected: r.estimate.cacheReadTokensExpected,
    outputTokensExpected: r.estimate.outputTokensExpected,
    boundCashNanos: boundNanos(r.bound.cash, r.maxTokens).toString(),
    boundFullNanos: boundNanos(r.bound.full, r.maxTokens).toString(),
    excluded: null,
  };
}

function exclusion(e: Excluded): Candidate {
  return {
    backend: e.backend.id,
    priceVersion: null,
    expectedCashUsd: null,
    expectedFullUsd: null,
    boundCashNanos: null,
    boundFullNanos: null,
    excluded: e.why,
  };
}
