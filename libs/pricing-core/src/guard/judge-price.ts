import { traitsOf } from './family.js';
import type { GuardedPrice, GuardOptions, GuardReason, GuardVerdict } from './guarded-price.js';
import { rateReason } from './judge-rate.js';
import { Peers } from './price-peers.js';
import { relationReasons } from './rate-relations.js';

const MAX_FACTOR = 10;

/**
 * Whether a proposed price may act at once or waits for a person (pitfalls 21, 22 and 40). Ordinary moves apply; what is
 * outside of anything ever sold, more than `maxFactor` from the price in force or from its family, at odds with
 * itself, or zero without a word, is held. The verdict is for the whole price: half of a price is not one.
 *
 * @param previous the price in force, or the last one that was; undefined for a model that never had one. A price that was held
 * was never in force: after it, the correction is judged as new, and applies.
 * @param proposed pico-USD per token, or each; see `GuardedPrice`.
 * @param peers prices known so far, of any model; relatives are found by name. Prices that are held do not belong here:
 * one wrong row would vouch for the next.
 * @throws RangeError for a negative rate or a factor below 1: a corrupt price is an error, not something to confirm.
 */
export function judgePrice(
  previous: GuardedPrice | undefined,
  proposed: GuardedPrice,
  peers: readonly GuardedPrice[],
  options: GuardOptions = {},
): GuardVerdict {
  const { zeroIsExplicit = false, maxFactor = MAX_FACTOR } = options;
  const isExplicit = typeof zeroIsExplicit === 'function' ? zeroIsExplicit : () => zeroIsExplicit;
  if (!(maxFactor >= 1 && maxFactor <= 1e9)) throw new RangeError(`maxFactor ${maxFactor} is not between 1 and 10^9`);
  refuseCorrupt(proposed);

  const traits = traitsOf(proposed);
  const relatives = new Peers(traits, proposed, peers);
  const reasons: GuardReason[] = presenceReasons(previous, proposed);
  for (const [rate, picos] of Object.entries(proposed.rates)) {
    if (picos === undefined) continue;
    const reason = rateReason({
      rate,
      proposed: picos,
      previous: previous?.rates[rate],
      peers: relatives,
      zeroIsExplicit: isExplicit(rate),
      maxFactorThousandths: BigInt(Math.round(maxFactor * 1000)),
    });
    if (reason) reasons.push(reason);
  }
  // A relation that the price in force has as well was looked at when that one came, and one that breaks because a rate of it is
  // wrong by itself is no second finding.
  const before = previous ? relationReasons(previous, traits) : [];
  const flagged = new Set(reasons.map((r) => r.rate));
  const news = relationReasons(proposed, traits).filter(
    (r) => !flagged.has('input') && !flagged.has(r.rate) && !before.some((b) => b.code === r.code && b.rate === r.rate),
  );
  reasons.push(...news);
  return { verdict: reasons.length > 0 ? 'hold' : 'apply', reasons };
}

function refuseCorrupt(price: GuardedPrice): void {
  for (const [rate, picos] of Object.entries(price.rates)) {
    if (picos !== undefined && picos < 0n) {
      throw new RangeError(`${price.model}: ${rate} is negative (${picos} pico-USD): a price cannot be`);
    }
  }
}

/** Absent is not zero (pitfall 22): tokens without a rate would be counted as free or not at all. */
function presenceReasons(previous: GuardedPrice | undefined, proposed: GuardedPrice): GuardReason[] {
  const { rates } = proposed;
  if (previous) {
    return ['input', 'output']
      .filter((rate) => previous.rates[rate] !== undefined && rates[rate] === undefined)
      .map((rate) => ({
        code: 'rate-dropped',
        rate,
        message: `${rate} has a rate in force and none in this price; a rate that is gone is not free`,
      }));
  }
  if (Object.values(rates).every((picos) => picos === undefined)) {
    return [{ code: 'no-price', message: 'names no rate at all; an absent price is not zero' }];
  }
  if (rates['output'] !== undefined && rates['input'] === undefined) {
    return [{ code: 'rate-missing', rate: 'input', message: 'has a rate for output but none for input tokens' }];
  }
  return [];
}
