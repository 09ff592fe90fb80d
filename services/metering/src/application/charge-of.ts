import type { PriceVersion, UsageAttemptClosedV1 } from '@meritorder/contracts';
import { NOTHING, type Charge } from '@meritorder/ledger-core';
import { rate } from '@meritorder/pricing-core';

/** What a closed attempt is charged, at the price version of its reservation. */
export function chargeOf(event: UsageAttemptClosedV1, price: PriceVersion): Charge {
  if (!event.sent || (event.refusedUpstream && !event.usage)) return NOTHING;
  if (event.usage) return { state: 'confirmed', ...rate(price, event.usage) };
  return unconfirmedCharge(event);
}

/** The provider may charge anything up to the bound. */
export function unconfirmedCharge({ bound }: Pick<UsageAttemptClosedV1, 'bound'>): Charge {
  return { state: 'unconfirmed', cashNanos: BigInt(bound.cashNanos), fullNanos: BigInt(bound.fullNanos) };
}
