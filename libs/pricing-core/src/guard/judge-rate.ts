import type { Picos } from '@meritorder/kernel';
import type { ModelTraits } from './family.js';
import type { GuardReason, RateName } from './guarded-price.js';
import { peerReason } from './judge-against-peers.js';
import { apart, nearestOf, type Peers } from './price-peers.js';
import { factorText, rateText } from './price-text.js';
import { isCacheWrite, isTokenRate } from './rate-kind.js';
import { boundsOf, type RateBounds } from './rates-plausible.js';
import { unitSlipHint } from './unit-slip.js';

export interface RateQuestion {
  rate: RateName;
  proposed: Picos;
  /** The rate in force; undefined when there is none. */
  previous: Picos | undefined;
  peers: Peers;
  zeroIsExplicit: boolean;
  /** As a fraction, so that 2.5 stays exact enough: factor x 1000. */
  maxFactorThousandths: bigint;
}

/** What one rate is held for; the first and gravest finding only, since the rest would say the same again. */
export function rateReason(question: RateQuestion): GuardReason | undefined {
  const { rate, proposed, previous, peers } = question;
  if (proposed === 0n) return zeroReason(question);
  const bounds = boundsOf(rate, peers.traits);
  const relatives = peers.of(rate);
  const kin = nearestOf(relatives.family, proposed);
  const hint = (reference: Picos | undefined): string => {
    const slip = isTokenRate(rate) ? unitSlipHint(proposed, reference) : feeSlipHint(proposed, bounds);
    return slip ? ` (${slip})` : '';
  };
  const far = (a: Picos, b: Picos): boolean => apart(a, b, question.maxFactorThousandths);

  if (previous !== undefined && previous > 0n) {
    const side = proposed > previous ? 'dearer' : 'cheaper';
    if (far(proposed, previous)) {
      const repair = outside(previous, bounds) && !outside(proposed, bounds);
      const move = `${rate} from ${rateText(rate, previous)} to ${rateText(rate, proposed)} is ${factorText(proposed, previous)} ${side} than the price in force`;
      return repair
        ? {
            code: 'repair',
            rate,
            message: `${move}; the price in force is itself out of the ordinary, so this looks like its correction`,
          }
        : { code: 'jump', rate, message: `${move}, more than ${limit(question)}${hint(previous)}` };
    }
    // A price that a person let in may move within the factor, but not further out of what was ever sold.
    const back = absurd(previous, bounds) && proposed < previous === previous > bounds.absurdAbove;
    if (!absurd(proposed, bounds) || proposed === previous || back) return undefined;
  }
  if (absurd(proposed, bounds)) return absurdReason(rate, proposed, bounds, hint(kin) || hint(undefined));

  const vouched = (r: Picos[]): boolean => r.some((peer) => !far(proposed, peer));
  if (proposed >= bounds.unusualFrom && !vouched(relatives.family) && !vouched(relatives.base)) {
    return {
      code: 'unusual',
      rate,
      message: `${rate} at ${rateText(rate, proposed)} is dearer than almost anything among ${bounds.group} (from ${rateText(rate, bounds.unusualFrom)}), and no known price of its family is near it${hint(kin) || hint(undefined)}`,
    };
  }
  return isTokenRate(rate) ? peerReason(question, relatives, hint) : undefined;
}

function zeroReason({ rate, previous, peers, zeroIsExplicit }: RateQuestion): GuardReason | undefined {
  if (previous !== undefined && previous > 0n) {
    return {
      code: 'zero-from-price',
      rate,
      message: `${rate} falls from ${rateText(rate, previous)} to 0: that would make its use free and its budgets blind`,
    };
  }
  const { kind, declaredFree }: ModelTraits = peers.traits;
  const ordinary =
    previous === 0n ||
    zeroIsExplicit ||
    declaredFree ||
    !isTokenRate(rate) ||
    isCacheWrite(rate) ||
    (kind === 'vector' && rate !== 'input') ||
    (kind === 'media' && rate === 'output');
  if (ordinary) return undefined;
  return {
    code: 'zero-added',
    rate,
    message: `${rate} is 0 and nothing says that it is meant: an unknown price is often written as 0. If it is free, say so (price 0 in your configuration)`,
  };
}

function absurdReason(rate: RateName, proposed: Picos, bounds: RateBounds, hint: string): GuardReason {
  const high = proposed > bounds.absurdAbove;
  const bound = high ? bounds.absurdAbove : bounds.absurdBelow;
  return {
    code: 'absurd',
    rate,
    message: `${rate} at ${rateText(rate, proposed)} is ${high ? 'above' : 'below'} anything ever sold (${high ? 'at most' : 'at least'} ${rateText(rate, bound)})${hint}`,
  };
}

function feeSlipHint(picos: Picos, bounds: RateBounds): string | undefined {
  return picos >= bounds.unusualFrom ? '1,000x: the price of 1,000 typed as the price of one?' : undefined;
}

function absurd(picos: Picos, bounds: RateBounds): boolean {
  return picos > bounds.absurdAbove || picos < bounds.absurdBelow;
}

function outside(picos: Picos, bounds: RateBounds): boolean {
  return absurd(picos, bounds) || picos >= bounds.unusualFrom;
}

function limit(question: RateQuestion): string {
  return factorText(question.maxFactorThousandths, 1000n);
}
