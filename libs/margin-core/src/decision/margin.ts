import { invariant } from '@meritorder/kernel';

/** What a request brings and costs if it is served by one backend; USD, expected. */
export interface MarginInputs {
  /** Comes whatever the answer: a request's share of a subscription, a fee per request. */
  readonly arrivingUsd: number;
  /** R and P: comes only with a conversion. */
  readonly revenueUsd: number;
  readonly conversion: number;
  /** What the customer is charged for it by the charge rule. */
  readonly chargeUsd: number;
  /** Full cost: own hardware with its share of everything. */
  readonly fullCostUsd: number;
}

export interface Margin {
  readonly incomeUsd: number;
  readonly marginUsd: number;
  /** Of the income; undefined: there is none to take a share of. */
  readonly marginShare: number | undefined;
}

/** arriving + charge + R P - full cost. @throws InvariantError unless all are finite and P within 0..1 */
export function expectedMargin(inputs: MarginInputs): Margin {
  const { arrivingUsd, revenueUsd, conversion, chargeUsd, fullCostUsd } = inputs;
  invariant(conversion >= 0 && conversion <= 1, `a conversion of ${conversion} is not within 0..1`);
  const incomeUsd = arrivingUsd + chargeUsd + revenueUsd * conversion;
  const marginUsd = incomeUsd - fullCostUsd;
  invariant(Number.isFinite(marginUsd), 'incomes and costs are finite');
  return { incomeUsd, marginUsd, marginShare: incomeUsd > 0 ? marginUsd / incomeUsd : undefined };
}

export interface FloorVerdict {
  readonly verdict: 'allowed' | 'below-floor';
  readonly marginUsd: number;
  /** What the floor asks for, and the highest full cost at which it is met. */
  readonly leastMarginUsd: number;
  readonly highestCostUsd: number;
}

/**
 * Whether what is left of the income is at least the floor's share of it. Without income nothing may cost anything; a tier that
 * is served at a loss has a share below 0, or no floor.
 *
 * @param incomeUsd what the customer is charged, and whatever else the tier counts as income; at least 0
 * @param floorShare at most 1; .2: a fifth of the income is left
 * @throws InvariantError on an income below 0, a floor above 1, or anything that is not finite
 */
export function judgeFloor(incomeUsd: number, fullCostUsd: number, floorShare: number): FloorVerdict {
  invariant(incomeUsd >= 0 && Number.isFinite(incomeUsd), `an income of ${incomeUsd} USD is not at least 0`);
  invariant(floorShare <= 1 && Number.isFinite(floorShare), `a margin floor of ${floorShare} is above 1`);
  invariant(Number.isFinite(fullCostUsd), `a full cost of ${fullCostUsd} USD is not finite`);
  const leastMarginUsd = floorShare * incomeUsd;
  const highestCostUsd = incomeUsd - leastMarginUsd;
  const verdict = fullCostUsd <= highestCostUsd ? 'allowed' : 'below-floor';
  return { verdict, marginUsd: incomeUsd - fullCostUsd, leastMarginUsd, highestCostUsd };
}

/** A backend that could serve a request, with what differs between backends. */
export interface Offer extends Omit<MarginInputs, 'arrivingUsd'> {
  readonly backend: string;
}

export interface Serving {
  readonly serve: boolean;
  /** Of the highest margin; of equals the first given. */
  readonly backend: string;
  readonly marginUsd: number;
}

/**
 * Whether to serve at all: if the best offer, with what arrives for serving whatever the answer, meets the floor. What arrives
 * adds the same to every offer, so it never changes which is best.
 *
 * @param offers at least one
 * @param floorShare as of `judgeFloor`; 0: at no loss
 */
export function worthServing(offers: readonly Offer[], arrivingUsd: number, floorShare = 0): Serving {
  const margins = offers.map((offer) => ({ offer, ...expectedMargin({ ...offer, arrivingUsd: 0 }) }));
  const best = margins.reduce<(typeof margins)[number] | undefined>(
    (highest, one) => (highest === undefined || one.marginUsd > highest.marginUsd ? one : highest),
    undefined,
  );
  invariant(best, 'nothing to choose from');
  const incomeUsd = Math.max(0, best.incomeUsd + arrivingUsd);
  const { verdict } = judgeFloor(incomeUsd, best.offer.fullCostUsd, floorShare);
  return { serve: verdict === 'allowed', backend: best.offer.backend, marginUsd: best.marginUsd + arrivingUsd };
}
