import { invariant } from '@meritorder/kernel';
import { bestAt, type LoggedRequest } from './logged-requests.js';
import type { PriceBounds } from './price-bounds.js';

/**
 * What a request costs on average at each price, by the candidates of logged requests: USD at prices spaced evenly in the
 * logarithm from `min` to `max`. It falls, for dearer money buys less. Plain JSON of constant size.
 */
export interface SpendingCurve {
  /** That it was drawn from. */
  requests: number;
  min: number;
  max: number;
  usdPerRequest: number[];
}

const POINTS = 49;
/** More say nothing of what comes, and the state is stored. */
const DIGITS = 4;

/**
 * @param log of one budget, values less what its other budgets count.
 * @returns undefined where nothing was logged. @throws InvariantError when the bounds are not in order.
 */
export function spendingCurve(log: readonly LoggedRequest[], { min, max }: PriceBounds): SpendingCurve | undefined {
  if (log.length === 0) return undefined;
  invariant(min > 0 && min < max && Number.isFinite(max), `a curve lies between two prices: ${min}, ${max}`);
  const usdPerRequest = Array.from({ length: POINTS }, (_, index) => {
    const lambda = min * (max / min) ** (index / (POINTS - 1));
    const mean = log.reduce((sum, { candidates }) => sum + bestAt(candidates, lambda).expectedUsd, 0) / log.length;
    return Number(mean.toPrecision(DIGITS));
  });
  return { requests: log.length, min, max, usdPerRequest };
}

/** What a request costs at a price, USD. */
export function costAt({ min, max, usdPerRequest }: SpendingCurve, lambda: number): number {
  const steps = usdPerRequest.length - 1;
  const at = Math.min(steps, Math.max(0, (Math.log(lambda / min) / Math.log(max / min)) * steps));
  const before = Math.min(steps - 1, Math.floor(at));
  const [dearer, cheaper] = [usdPerRequest[before]!, usdPerRequest[before + 1]!];
  return cheaper > 0 ? dearer * (cheaper / dearer) ** (at - before) : dearer + (at - before) * (cheaper - dearer);
}

/** The price at which a request costs so much; between points straight in both logarithms, beyond the curve its end. */
export function priceFor({ min, max, usdPerRequest }: SpendingCurve, usd: number): number {
  const after = usdPerRequest.findIndex((cost) => cost <= usd);
  if (after === -1) return max;
  if (after === 0) return min;
  const [dearer, cheaper] = [usdPerRequest[after - 1]!, usdPerRequest[after]!];
  const share = cheaper > 0 ? Math.log(dearer / usd) / Math.log(dearer / cheaper) : 1;
  return min * (max / min) ** ((after - 1 + share) / (usdPerRequest.length - 1));
}
