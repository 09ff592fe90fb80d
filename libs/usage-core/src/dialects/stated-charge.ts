import { parseDecimal, type Picos } from '@meritorder/kernel';
import { objectOf, type Json } from '../latest-fields.js';

/** Of xAI: a ten-billionth of a dollar. */
const PICOS_PER_TICK = 100n;
const USD_DECIMALS = 12;
/** Nobody charges this for one call; above it decimals of a number would not be exact. */
const MOST_USD = 100_000;

/**
 * What a usage block says that the call was charged, in pico-USD.
 * OpenRouter: `cost`, and where a key of one's own was used, what its provider takes beside it. Perplexity: `cost.total_cost`.
 * xAI: `cost_in_usd_ticks`.
 * @returns undefined where it says nothing; 'corrupt' where that is no amount
 */
export function statedCharge(block: Json): Picos | 'corrupt' | undefined {
  const ticks = block['cost_in_usd_ticks'];
  if (ticks !== undefined && ticks !== null)
    return typeof ticks === 'number' && Number.isSafeInteger(ticks) && ticks >= 0
      ? BigInt(ticks) * PICOS_PER_TICK
      : 'corrupt';
  const cost = objectOf(block['cost'])?.['total_cost'] ?? block['cost'];
  if (cost === undefined || cost === null) return undefined;
  const parts = [cost];
  const upstream = objectOf(block['cost_details'])?.['upstream_inference_cost'];
  if (block['is_byok'] === true && upstream !== undefined && upstream !== null) parts.push(upstream);
  return parts.every(isAmount) ? parts.reduce((sum, usd) => sum + picosOf(usd), 0n) : 'corrupt';
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= MOST_USD;
}

/** The decimals as they were sent: a double has more digits than an amount of this size. */
function picosOf(usd: number): Picos {
  return parseDecimal(usd.toFixed(USD_DECIMALS), USD_DECIMALS);
}
