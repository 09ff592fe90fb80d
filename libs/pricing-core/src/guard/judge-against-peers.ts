import type { Picos } from '@meritorder/kernel';
import type { GuardReason } from './guarded-price.js';
import type { RateQuestion } from './judge-rate.js';
import { apart, nearestOf, type PeerRates } from './price-peers.js';
import { factorText, rateText } from './price-text.js';

/** In thousandths. Sellers of one open model differ by up to 20x among themselves. */
const FAMILY_FACTOR = 25_000n;
/** In thousandths. Generations of one line differ by up to 30x; only a slip of 1,000 and more can be told. */
const LINE_FACTOR = 100_000n;
/** So many prices of a seller are a range; fewer are anecdotes. */
const PROVIDER_RANGE_FROM = 5;
/** Below $5 per 1M tokens, being far above a seller's other models is ordinary: they sold only small ones so far. */
const PROVIDER_RANGE_MATTERS_FROM = 5_000_000n;

type Hint = (reference: Picos | undefined) => string;

/** What a new token rate is held for because of its relatives; the closest of them that have a price are the ones asked. */
export function peerReason(question: RateQuestion, relatives: PeerRates, hint: Hint): GuardReason | undefined {
  const { traits } = question.peers;
  if (relatives.family.length > 0)
    return farFrom(question, relatives.family, FAMILY_FACTOR, 'family', `the family "${traits.family}"`, hint);
  return (
    cheapEdition(question, relatives.base, hint) ??
    farFrom(question, relatives.line, LINE_FACTOR, 'line', `other generations of "${traits.family}"`, hint) ??
    aboveProvider(question, relatives.provider, hint)
  );
}

/** Compared with the nearest, not the middle: one relative that is near enough vouches for it. */
function farFrom(
  { rate, proposed }: RateQuestion,
  known: readonly Picos[],
  thousandths: bigint,
  code: 'family' | 'line',
  group: string,
  hint: Hint,
): GuardReason | undefined {
  const nearest = nearestOf(known, proposed);
  if (nearest === undefined || !apart(proposed, nearest, thousandths)) return undefined;
  const side = proposed > nearest ? 'dearer' : 'cheaper';
  const prices = known.length === 1 ? 'price' : 'prices';
  return {
    code,
    rate,
    message: `${rate} at ${rateText(rate, proposed)} is ${factorText(proposed, nearest)} ${side} than ${rateText(rate, nearest)}, the nearest of ${known.length} known ${prices} of ${group}, more than ${factorText(thousandths, 1000n)}${hint(nearest)}`,
  };
}

function cheapEdition(
  { rate, proposed, peers, maxFactorThousandths }: RateQuestion,
  [cheapest]: readonly Picos[],
  hint: Hint,
): GuardReason | undefined {
  if (cheapest === undefined || proposed > cheapest || !apart(proposed, cheapest, maxFactorThousandths))
    return undefined;
  return {
    code: 'edition',
    rate,
    message: `${rate} at ${rateText(rate, proposed)} is ${factorText(proposed, cheapest)} cheaper than ${rateText(rate, cheapest)} of "${peers.traits.baseFamily}", whose dearer edition it is, more than ${factorText(maxFactorThousandths, 1000n)}${hint(cheapest)}`,
  };
}

function aboveProvider(
  { rate, proposed, peers, maxFactorThousandths }: RateQuestion,
  known: readonly Picos[],
  hint: Hint,
): GuardReason | undefined {
  const dearest = known.at(-1);
  if (dearest === undefined || known.length < PROVIDER_RANGE_FROM || proposed < PROVIDER_RANGE_MATTERS_FROM)
    return undefined;
  if (proposed < dearest || !apart(proposed, dearest, maxFactorThousandths)) return undefined;
  return {
    code: 'provider',
    rate,
    message: `${rate} at ${rateText(rate, proposed)} is ${factorText(proposed, dearest)} the dearest of ${known.length} known prices of ${peers.traits.provider} (${rateText(rate, dearest)}), more than ${factorText(maxFactorThousandths, 1000n)}${hint(undefined)}`,
  };
}
