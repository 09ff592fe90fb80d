import type { BackendConfig, PriceVersion, Usage } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import { rate, type RatedCost, type Served } from './rating.js';
import { booksEstimates, priceOfServed } from './served-model.js';

export type ServingBackend = Pick<BackendConfig, 'kind' | 'model' | 'modelAliases' | 'withoutUsage'>;

export interface ServedAttempt extends Served {
  /** Undefined: the backend did not say. */
  model: string | undefined;
}

export interface RatedAsServed {
  price: PriceVersion;
  cost: RatedCost;
  /** All that nobody here knows the rate of: what was used, the tier that served, and the model that answered. */
  unpriced: readonly string[];
}

/** What an attempt cost at the price of the model and the tier that served it; receipts and books alike. */
export function ratedAsServed(
  backend: ServingBackend,
  served: ServedAttempt,
  usage: Usage,
  { own, others }: { own: PriceVersion; others: readonly PriceVersion[] },
): RatedAsServed {
  const { price, unknown } = priceOfServed(backend, served.model, own, others);
  const cost = rate(price, usage, served);
  // What the provider itself says of a charge is of whichever model answered.
  const ofModel = unknown && usage.statedPicos === undefined ? [`served-model:${served.model}`.slice(0, 128)] : [];
  return { price, cost, unpriced: [...cost.unpriced, ...ofModel] };
}

/** A charge of which part has no rate. */
export interface UncertainCharge {
  cashNanos: Nanos;
  fullNanos: Nanos;
}

/**
 * What is charged until the invoice tells, where a rate is missing; undefined: none is, or no invoice will come. That is the bound,
 * or what was rated where that is more. A model that nobody knows stays at the price of the one that was asked: its bound is made of
 * no better one.
 */
export function uncertainCharge(
  backend: ServingBackend,
  { cost, unpriced }: Pick<RatedAsServed, 'cost' | 'unpriced'>,
  bound: UncertainCharge,
): UncertainCharge | undefined {
  if (unpriced.length === 0 || booksEstimates(backend)) return undefined;
  if (cost.unpriced.length === 0) return { cashNanos: cost.cashNanos, fullNanos: cost.fullNanos };
  return { cashNanos: larger(cost.cashNanos, bound.cashNanos), fullNanos: larger(cost.fullNanos, bound.fullNanos) };
}

function larger(a: Nanos, b: Nanos): Nanos {
  return a > b ? a : b;
}
