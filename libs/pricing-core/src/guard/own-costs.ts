import type { Picos } from '@meritorder/kernel';
import type { HoldReason } from '../intake.js';
import type { RateName } from './guarded-price.js';
import { apart } from './price-peers.js';
import { factorText, rateText } from './price-text.js';
import { isTokenRate } from './rate-kind.js';

/** In thousandths; as for prices. */
const MAX_FACTOR = 10_000n;
/**
 * $1,000 per 1M tokens is 280 GPU-hours at $3.60 for a million tokens: one token a second. Above it, hours were taken for months
 * (730x) or a host's price for an hour's.
 */
const ABSURD_ABOVE: Picos = 1_000_000_000n;

/**
 * What own hardware is said to cost, `undefined` where that is what is paid to others. It has no lower bound: a small model on a
 * busy GPU adds less than any price that is sold.
 */
export function ownCostReasons(
  kind: 'full' | 'marginal',
  previous: Readonly<Partial<Record<RateName, Picos>>> | undefined,
  proposed: Readonly<Record<RateName, Picos>> | undefined,
): HoldReason[] {
  if (!proposed) return [];
  return Object.entries(proposed).flatMap(([name, picos]): HoldReason[] => {
    const rate = `${kind}.${name}`;
    const before = previous?.[name] ?? 0n;
    const to = rateText(name, picos);
    if (isTokenRate(name) && picos > ABSURD_ABOVE && picos !== before) {
      return [
        { code: 'absurd', rate, message: `${kind} cost of ${name} at ${to} is above what any token costs to make` },
      ];
    }
    if (before === 0n) return [];
    if (picos === 0n) {
      return [
        { code: 'zero-from-price', rate, message: `${kind} cost of ${name} falls from ${rateText(name, before)} to 0` },
      ];
    }
    if (!apart(picos, before, MAX_FACTOR)) return [];
    return [
      {
        code: 'jump',
        rate,
        message: `${kind} cost of ${name} from ${rateText(name, before)} to ${to} is ${factorText(picos, before)} ${picos > before ? 'more' : 'less'} than before, more than ${factorText(MAX_FACTOR, 1000n)} (hours and months, watts and kilowatts?)`,
      },
    ];
  });
}
