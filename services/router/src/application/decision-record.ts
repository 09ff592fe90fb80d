import type {
  Attribution,
  ChatRequest,
  DecisionDraws,
  DecisionPolicy,
  Kind,
  PassedOver,
  Refusal,
  RoutingDecisionMadeV1,
} from '@meritorder/contracts';
import { spansOrgs } from '@meritorder/budget-core';
import { boundNanos } from '@meritorder/pricing-core';
import type { Able, Excluded } from '@meritorder/routing-core';
import type { Choice, Weighed } from './choose-backend.js';
import type { QualityReading } from './ports.js';

export interface DecisionToRecord {
  request: {
    requestId: string;
    attribution: Attribution;
    kind: Kind;
    body: Pick<ChatRequest, 'meritorder' | 'stream'>;
    isJob?: boolean;
    jobDeadlineMs?: number;
    /** Absent: it cannot be in a batch. */
    job?: unknown;
  };
  route: string;
  attemptNumber: number;
  hedgeOf: string | undefined;
  attemptId: string | undefined;
  policy: DecisionPolicy;
  draws: DecisionDraws;
  choice: Choice;
  quality: QualityReading;
  excluded: readonly Excluded[];
  /** By place in the order of the choice: those that the counters passed over. */
  passedOver?: ReadonlyMap<number, PassedOver>;
  chosen: Able | undefined;
  refusal: Refusal | undefined;
  reason: string;
  maxTokens: number | undefined;
  choices: number;
  decidedAtMs: number;
  /** For a slot; undefined: it has not waited. */
  waitedMs?: number | undefined;
  epoch: number;
}

/** All candidates with their numbers, the choice and why: the whole body of `routing.decision-made`. `replay` decides it again. */
export function decisionRecord(d: DecisionToRecord): RoutingDecisionMadeV1 {
  const { decision, weighed } = d.choice;
  const first = (d.chosen ?? d.choice.order[0]?.candidate)?.estimate;
  const known = new Set(weighed.map((w) => w.numbers.id));
  const shared = new Set(
    weighed.flatMap((w) => w.path.windows.filter((x) => spansOrgs(x.budget)).map((x) => x.budget.id)),
  );
  return {
    requestId: d.request.requestId,
    ...(d.attemptId === undefined ? {} : { attemptId: d.attemptId }),
    attemptNumber: d.attemptNumber,
    ...(d.hedgeOf === undefined ? {} : { hedgeOf: d.hedgeOf }),
    attribution: d.request.attribution,
    kind: d.request.kind,
    route: d.route,
    ...wishesOf(d.request.body),
    objective: d.policy.objective,
    decidedAt: new Date(d.decidedAtMs).toISOString(),
    ...(d.waitedMs === undefined ? {} : { waitedMs: d.waitedMs }),
    epoch: d.epoch,
    inputTokensExpected: first?.inputTokensExpected ?? 0,
    inputTokensBound: first?.inputTokensBound ?? 0,
    outputTokensExpected: first?.outputTokensExpected ?? 0,
    maxTokens: d.maxTokens ?? null,
    ...(d.choices > 1 ? { choices: d.choices } : {}),
    streams: d.request.body.stream === true,
    ...(d.request.isJob ? { isJob: true } : {}),
    ...(d.request.job && d.request.jobDeadlineMs !== undefined
      ? { jobDeadlineAt: new Date(d.request.jobDeadlineMs).toISOString() }
      : {}),
    candidates: [
      ...weighed.map((w) => candidate(w, d)),
      ...d.excluded.filter((e) => !known.has(e.backend.id)).map(exclusion),
    ],
    choice: d.chosen?.backend.id ?? null,
    probability: decision.probabilities[0] ?? 0,
    refusal: d.refusal?.code ?? null,
    reason: d.reason,
    policy: d.policy,
    draws: d.draws,
    ...(decision.order.length > 0 ? { choiceKind: decision.kind } : {}),
    ...(decision.guard ? { explorationIncomeUsd: decision.guard.incomeUsd } : {}),
    order: decision.order.map((s) => s.candidate.id),
    tags: d.quality.tags,
    promptFeatures: d.quality.promptFeatures,
    ...(shared.size > 0 ? { sharedBudgets: [...shared] } : {}),
  };
}

/**
 * The record as its org may hear it: without what is said of budgets that span orgs. The sums of shadow prices stay, since the
 * score is made of them: it is decided again with the same result (ADR 27).
 */
export function orgsCopy({ sharedBudgets = [], ...record }: RoutingDecisionMadeV1): RoutingDecisionMadeV1 {
  const own = (c: Candidate): Candidate =>
    c.budgets === undefined ? c : { ...c, budgets: c.budgets.filter((b) => !sharedBudgets.includes(b.budget)) };
  return { ...record, candidates: record.candidates.map(own), budgetsWithheld: true };
}

function wishesOf({ meritorder }: Pick<ChatRequest, 'meritorder'>): Pick<RoutingDecisionMadeV1, 'wishes'> {
  const { idempotency_key: _key, ...wishes } = meritorder ?? {};
  return Object.keys(wishes).length === 0 ? {} : { wishes };
}

type Candidate = RoutingDecisionMadeV1['candidates'][number];

/** Expected costs are estimates for a score, so they may be floats; bounds are money. */
function candidate(
  { candidate: able, numbers, path: { windows, shadowPrices } }: Weighed,
  { choice, excluded, passedOver }: DecisionToRecord,
): Candidate {
  const { id, cashUsd, fullUsd, ...rest } = numbers;
  const place = choice.decision.order.findIndex((s) => s.candidate.id === id);
  const scored = choice.decision.order[place];
  const out = excluded.find((e) => e.backend.id === id);
  const over = passedOver?.get(place);
  const mostExplored = choice.decision.guard?.most.get(id);
  return {
    backend: id,
    priceVersion: able.price.id,
    expectedCashUsd: cashUsd,
    expectedFullUsd: fullUsd,
    inputTokensExpected: able.estimate.inputTokensExpected,
    cacheReadTokensExpected: able.estimate.cacheReadTokensExpected,
    outputTokensExpected: able.estimate.outputTokensExpected,
    boundCashNanos: boundNanos(able.bound.cash, able.maxTokens).toString(),
    boundFullNanos: boundNanos(able.bound.full, able.maxTokens).toString(),
    excluded: out?.why ?? null,
    ...(out ? { exclusionCode: out.code } : {}),
    numbers: rest,
    ...(scored
      ? { scoreUsd: scored.scoreUsd, valueUsd: scored.valueUsd, probability: choice.decision.probabilities[place]! }
      : {}),
    ...(mostExplored === undefined ? {} : { mostExplored }),
    ...(over === undefined ? {} : { passedOver: over }),
    budgets: windows.map(({ charge }, i) => ({
      budget: charge.budget,
      window: charge.window,
      basis: charge.basis,
      shadowPrice: shadowPrices[i]!,
    })),
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
    exclusionCode: e.code,
  };
}
