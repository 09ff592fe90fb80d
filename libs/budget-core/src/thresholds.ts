import { parseDecimal, type Nanos } from '@meritorder/kernel';

const SCALE = 6;

/**
 * The thresholds (shares of the limit, at most six decimals) that a spend has reached, in rising order. Integer arithmetic:
 * spent x 10^6 >= share x 10^6 x limit.
 */
export function reachedThresholds(thresholds: readonly number[], limitNanos: Nanos, spentNanos: Nanos): number[] {
  return thresholds
    .filter((share) => spentNanos * 10n ** BigInt(SCALE) >= parseDecimal(share.toFixed(SCALE), SCALE) * limitNanos)
    .toSorted((a, b) => a - b);
}
