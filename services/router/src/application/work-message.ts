import { spansOrgs, type EnforcedWindow } from '@meritorder/budget-core';
import type { AttemptExpectation, AttemptTerms, WorkRequest } from '@meritorder/contracts';
import type { ReserveGrant } from '@meritorder/counters';
import { nanosToUsd } from '@meritorder/kernel';
import type { Able, Hold } from '@meritorder/routing-core';
import type { DispatchRequest } from './dispatch-request.js';
import { onlyStandardTier, upstreamBody } from './upstream-body.js';

/** A candidate with the windows that it would be charged to, and what would be held on them. */
export interface Offer {
  candidate: Able;
  windows: readonly EnforcedWindow[];
  hold: Hold;
  /** Expected of its answer, 0..1. */
  quality: number;
}

/** All that an attempt is sent with. */
interface Sent {
  request: DispatchRequest;
  offer: Offer;
  grant: ReserveGrant;
  attemptId: string;
  attemptNumber: number;
  hedgeOf: string | undefined;
  mayBeHedged: boolean;
  charge: AttemptTerms['charge'] | undefined;
  choices: number;
  reservedAtMs: number;
  expected: AttemptExpectation;
  earlierAttempts: WorkRequest['earlierAttempts'];
  reason: string;
}

/** What the worker of a backend is told: the terms that will be in the books, the body, and what the receipt says. Pure. */
export function workMessage(sent: Sent): WorkRequest {
  const { request, grant, hedgeOf, choices, expected } = sent;
  const { candidate: chosen, windows, hold } = sent.offer;
  const job = chosen.backend.batch && request.job;
  const shared = new Set(windows.flatMap((w) => (spansOrgs(w.budget) ? [w.budget.id] : [])));
  return {
    terms: {
      attemptId: sent.attemptId,
      requestId: request.requestId,
      attemptNumber: sent.attemptNumber,
      attribution: request.attribution,
      backend: chosen.backend.id,
      provider: chosen.backend.provider,
      model: chosen.backend.model,
      kind: request.kind,
      epoch: grant.epochId,
      bound: { cashNanos: grant.cashNanos.toString(), fullNanos: grant.fullNanos.toString() },
      ...(hold.governed ? { governed: { heldTokens: grant.maxTokens * choices, ...hold.governed } } : {}),
      windows: windows.map((w) => w.charge),
      priceVersion: chosen.price.id,
      ...(chosen.otherPrices.length > 0 ? { otherPriceVersions: chosen.otherPrices.map((p) => p.id) } : {}),
      reservedAt: new Date(sent.reservedAtMs).toISOString(),
      deadlineAt: new Date(job ? request.jobDeadlineMs! : request.deadlineMs).toISOString(),
      ...(hedgeOf === undefined ? {} : { hedgeOf }),
      ...(sent.charge ? { charge: sent.charge } : {}),
      expected,
    },
    body: upstreamBody(request, expected.maxTokens, onlyStandardTier(chosen.backend, chosen.price)),
    stream: request.body.stream ?? false,
    includeUsage: request.body.stream_options?.include_usage ?? false,
    replyTo: request.replyTo,
    ...(request.maxAnswerBytes === undefined ? {} : { maxAnswerBytes: request.maxAnswerBytes }),
    price: chosen.price,
    ...(chosen.otherPrices.length > 0 ? { otherPrices: [...chosen.otherPrices] } : {}),
    inputTokensExpected: expected.inputTokens,
    ...(sent.mayBeHedged ? { mayBeHedged: true } : {}),
    ...(job ? { job } : {}),
    budgetsLeft: grant.left
      .filter((l) => !shared.has(l.budget))
      .map((l) => ({ budget: l.budget, window: l.window, basis: l.basis, left_usd: nanosToUsd(l.leftNanos) })),
    earlierAttempts: sent.earlierAttempts,
    reason: sent.reason,
  };
}
