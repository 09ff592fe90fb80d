import type { BackendConfig, Receipt, Usage, WorkRequest } from '@meritorder/contracts';
import { nanosToUsd, type Nanos } from '@meritorder/kernel';
import { chargedNanos, isAnswer, type AttemptEnd } from '@meritorder/margin-core';
import { booksEstimates, ratedAsServed, uncertainCharge } from '@meritorder/pricing-core';
import type { CallFacts } from './call-facts.js';

export type BilledBackend = Pick<BackendConfig, 'kind' | 'model' | 'modelAliases' | 'withoutUsage'>;

/**
 * The receipt of a call: priced by the functions that metering prices with, from the same facts, at the same instant.
 * @param closed what the closed event says; prices may depend on the time of day.
 */
export function receiptOf(
  work: WorkRequest,
  backend: BilledBackend,
  closed: { atMs: number; facts: CallFacts; end: AttemptEnd },
  outcome: 'finished' | 'cancelled',
  endedBy?: Receipt['ended_by'],
): Receipt {
  const { terms } = work;
  return {
    request_id: terms.requestId,
    backend: terms.backend,
    model: closed.facts.servedModel ?? terms.model,
    attempts: [
      ...work.earlierAttempts,
      {
        attempt_id: terms.attemptId,
        backend: terms.backend,
        outcome,
        ...(endedBy ? { code: endedBy.cause } : {}),
      },
    ],
    ...costOf(work, backend, closed),
    budgets_left: work.budgetsLeft,
    reason: work.reason,
    ...(endedBy ? { ended_by: endedBy } : {}),
  };
}

function costOf(
  work: WorkRequest,
  backend: BilledBackend,
  { atMs, facts, end }: { atMs: number; facts: CallFacts; end: AttemptEnd },
): Pick<Receipt, 'usage' | 'cost'> {
  const usage = bookedUsage(facts, backend);
  const bound = { cashNanos: BigInt(work.terms.bound.cashNanos), fullNanos: BigInt(work.terms.bound.fullNanos) };
  if (!usage) {
    return {
      cost: {
        usd: nanosToUsd(bound.cashNanos),
        full_usd: nanosToUsd(bound.fullNanos),
        ...charged(work, bound.fullNanos, end),
        basis: 'unconfirmed',
        price_version: work.price.id,
      },
    };
  }
  const served = { model: facts.servedModel, tier: facts.servedTier, atMs };
  const rated = ratedAsServed(backend, served, usage, { own: work.price, others: work.otherPrices ?? [] });
  const uncertain = uncertainCharge(backend, rated, bound);
  const { cashNanos, fullNanos } = uncertain ?? rated.cost;
  return {
    usage,
    cost: {
      usd: nanosToUsd(cashNanos),
      full_usd: nanosToUsd(fullNanos),
      ...charged(work, fullNanos, end),
      basis: uncertain ? 'unconfirmed' : facts.usageBasis === 'estimated' ? 'estimated' : 'confirmed',
      price_version: rated.price.id,
    },
  };
}

function charged({ terms }: WorkRequest, fullNanos: Nanos, end: AttemptEnd): Pick<Receipt['cost'], 'charged_usd'> {
  return terms.charge ? { charged_usd: nanosToUsd(chargedNanos(terms.charge, fullNanos, isAnswer(end))) } : {};
}

/** What metering will book: an estimate only where the backend is to be booked by it, else its bound stands. */
function bookedUsage({ usage, usageBasis }: CallFacts, backend: BilledBackend): Usage | undefined {
  return usageBasis !== 'estimated' || booksEstimates(backend) ? usage : undefined;
}
