import type { BackendConfig, PriceVersion, Usage, UsageAttemptClosedV1 } from '@meritorder/contracts';
import { NOTHING, type Charge } from '@meritorder/ledger-core';
import {
  booksEstimates,
  rate,
  ratedAsServed,
  uncertainCharge,
  type RatedAsServed,
  type RatedCost,
  type ServedAttempt,
} from '@meritorder/pricing-core';

/** The backend as far as its prices need it. One that the configuration no longer names is taken at the attempt's word. */
export type PricedBackend = Pick<BackendConfig, 'kind' | 'model' | 'modelAliases' | 'withoutUsage'>;

export interface AttemptPrices {
  /** Of the reservation. */
  own: PriceVersion;
  /** Of other models that may have answered. */
  others: readonly PriceVersion[];
}

export interface RatedCharge {
  charge: Charge;
  priceVersion: string;
  native?: { currency: string; nanos: string; rateId: string };
  unpriced: readonly string[];
}

/** What a closed attempt is charged, at the price version of its reservation and by the model and tier that served it. */
export function chargeOf(event: UsageAttemptClosedV1, prices: AttemptPrices, backend: PricedBackend): RatedCharge {
  const nothing = { priceVersion: prices.own.id, unpriced: [] };
  if (!event.sent || (event.refusedUpstream && !event.usage)) return { charge: NOTHING, ...nothing };
  if (!event.usage || (event.usageBasis === 'estimated' && !booksEstimates(backend)))
    return { charge: unconfirmedCharge(event), ...nothing };
  const rated = ratedAsServed(backend, servedOf(event), event.usage, prices);
  const confirmed = ratedCharge(rated);
  const bound = { cashNanos: BigInt(event.bound.cashNanos), fullNanos: BigInt(event.bound.fullNanos) };
  const uncertain = uncertainCharge(backend, rated, bound);
  return uncertain ? { ...confirmed, charge: { state: 'unconfirmed', ...uncertain } } : confirmed;
}

export type Served = Pick<UsageAttemptClosedV1, 'servedModel' | 'servedTier' | 'closedAt'>;

/** What prices say of a usage, whatever of it has no rate: of what is confirmed already, or tried. */
export function confirmedCharge(
  served: Served,
  usage: Usage,
  prices: AttemptPrices,
  backend: PricedBackend,
): RatedCharge {
  return ratedCharge(ratedAsServed(backend, servedOf(served), usage, prices));
}

/** The charge at a price, whoever answered. */
export function chargeAt(price: PriceVersion, served: Served, usage: Usage): RatedCharge {
  const cost = rate(price, usage, servedOf(served));
  return ratedCharge({ price, cost, unpriced: cost.unpriced });
}

function servedOf({ servedModel, servedTier, closedAt }: Served): ServedAttempt {
  return { model: servedModel, tier: servedTier, atMs: Date.parse(closedAt) };
}

function ratedCharge({ price, cost, unpriced }: RatedAsServed): RatedCharge {
  return {
    charge: chargeFor(cost),
    priceVersion: price.id,
    ...(cost.native ? { native: { ...cost.native, nanos: cost.native.nanos.toString() } } : {}),
    unpriced,
  };
}

function chargeFor({ cashNanos, fullNanos, marginalNanos }: RatedCost): Charge {
  return { state: 'confirmed', cashNanos, fullNanos, marginalNanos };
}

/** The provider may charge anything up to the bound. */
export function unconfirmedCharge({ bound }: Pick<UsageAttemptClosedV1, 'bound'>): Charge {
  return { state: 'unconfirmed', cashNanos: BigInt(bound.cashNanos), fullNanos: BigInt(bound.fullNanos) };
}
