import type { BackendConfig, Receipt, Usage, WorkRequest } from '@meritorder/contracts';
import { nanosToUsd } from '@meritorder/kernel';
import { booksEstimates, priceOfServed, rate } from '@meritorder/pricing-core';
import type { CallFacts } from './call-facts.js';

export type BilledBackend = Pick<BackendConfig, 'kind' | 'model' | 'modelAliases' | 'withoutUsage'>;

/**
 * The receipt of a call: priced by the functions that metering prices with, from the same facts, at the same instant.
 * @param closedAtMs the `closedAt` of the closed event: prices may depend on the time of day.
 */
export function receiptOf(
  work: WorkRequest,
  backend: BilledBackend,
  facts: CallFacts,
  closedAtMs: number,
  outcome: 'finished' | 'cancelled',
  endedBy?: Receipt['ended_by'],
): Receipt {
  const { terms } = work;
  return {
    request_id: terms.requestId,
    backend: terms.backend,
    model: facts.servedModel ?? terms.model,
    attempts: [
      ...work.earlierAttempts,
      {
        attempt_id: terms.attemptId,
        backend: terms.backend,
        outcome,
        ...(endedBy ? { code: endedBy.cause } : {}),
      },
    ],
    ...costOf(work, backend, facts, closedAtMs),
    budgets_left: work.budgetsLeft,
    reason: work.reason,
    ...(endedBy ? { ended_by: endedBy } : {}),
  };
}

function costOf(
  work: WorkRequest,
  backend: BilledBackend,
  facts: CallFacts,
  closedAtMs: number,
): Pick<Receipt, 'usage' | 'cost'> {
  const usage = bookedUsage(facts, backend);
  if (!usage) {
    const { cashNanos, fullNanos } = work.terms.bound;
    return {
      cost: {
        usd: nanosToUsd(BigInt(cashNanos)),
        full_usd: nanosToUsd(BigInt(fullNanos)),
        basis: 'unconfirmed',
        price_version: work.price.id,
      },
    };
  }
  const { price } = priceOfServed(backend, facts.servedModel, work.price, work.otherPrices ?? []);
  const { cashNanos, fullNanos } = rate(price, usage, { tier: facts.servedTier, atMs: closedAtMs });
  return {
    usage,
    cost: {
      usd: nanosToUsd(cashNanos),
      full_usd: nanosToUsd(fullNanos),
      basis: facts.usageBasis === 'estimated' ? 'estimated' : 'confirmed',
      price_version: price.id,
    },
  };
}

/** What metering will book: an estimate only where the backend is to be booked by it, else its bound stands. */
function bookedUsage({ usage, usageBasis }: CallFacts, backend: BilledBackend): Usage | undefined {
  return usageBasis !== 'estimated' || booksEstimates(backend) ? usage : undefined;
}
