import { formatDecimal, type Picos } from '@meritorder/kernel';
import type { RateName } from './guarded-price.js';
import { isTokenRate } from './rate-kind.js';

/** `$2.5 per 1M tokens` or, for a fee, `$0.01 each`. Exact. */
export function rateText(rate: RateName, picos: Picos): string {
  return isTokenRate(rate) ? `$${trimmed(picos, 6)} per 1M tokens` : `$${trimmed(picos, 12)} each`;
}

/** How many times the larger of two positive amounts is the smaller: `5x`, `2.5x`, `1,000,000x`. */
export function factorText(a: Picos, b: Picos): string {
  const [large, small] = a > b ? [a, b] : [b, a];
  const tenths = (large * 10n + small / 2n) / small;
  const shown = tenths >= 100n ? grouped((tenths + 5n) / 10n) : trimmed(tenths, 1);
  return `${shown}x`;
}

function grouped(value: bigint): string {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, ',');
}

function trimmed(value: bigint, scale: number): string {
  const [whole = '0', fraction = ''] = formatDecimal(value, scale).split('.');
  const rest = fraction.replace(/0+$/, '');
  return grouped(BigInt(whole)) + (rest ? `.${rest}` : '');
}
