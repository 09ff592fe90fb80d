import { invariant, parseDecimal, usdToNanos, type Nanos } from '@meritorder/kernel';

/** What a customer of a tier is charged for a request: cost-plus, a fixed price, or both. At least one is stated. */
export interface ChargeRule {
  /** What the full cost is multiplied by, as decimal text with at most 12 digits after the point: `"1.25"` is a markup of 25 %. */
  readonly markup?: string;
  /** Decimal USD with at most 9 digits after the point, once a request. */
  readonly usdPerRequest?: string;
}

const FACTOR_DIGITS = 12;
const FACTOR_ONE = 10n ** BigInt(FACTOR_DIGITS);

/**
 * What the customer is charged for one request, exact in integers and rounded once, half to even. It is the price of the whole
 * request: which attempts its full cost contains is the caller's to say, and a later correction is charged as
 * `chargeNanos(rule, corrected) - chargeNanos(rule, before)`, which charges the fixed price once.
 *
 * @param fullNanos full cost of the request, integer nano-USD, at least 0
 * @throws RangeError on text that is no such decimal; InvariantError on a rule that states nothing, or on anything below 0
 */
export function chargeNanos(rule: ChargeRule, fullNanos: Nanos): Nanos {
  const { markup, usdPerRequest } = rule;
  invariant(markup !== undefined || usdPerRequest !== undefined, 'a rule that charges nothing states "0"');
  invariant(fullNanos >= 0n, `a full cost of ${fullNanos} nano-USD is below 0`);
  const factor = markup === undefined ? 0n : parseDecimal(markup, FACTOR_DIGITS);
  const fixedNanos = usdPerRequest === undefined ? 0n : usdToNanos(usdPerRequest);
  invariant(factor >= 0n && fixedNanos >= 0n, 'a markup and a fixed price are at least 0');
  return dividedHalfEven(fullNanos * factor, FACTOR_ONE) + fixedNanos;
}

/** Both above or equal 0. */
function dividedHalfEven(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  const twice = (dividend % divisor) * 2n;
  return twice > divisor || (twice === divisor && quotient % 2n === 1n) ? quotient + 1n : quotient;
}
