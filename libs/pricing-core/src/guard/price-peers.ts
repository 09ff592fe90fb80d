import type { Picos } from '@meritorder/kernel';
import { traitsOf, type ModelTraits } from './family.js';
import type { GuardedPrice, RateName } from './guarded-price.js';

/** The positive rates of a model's relatives, ascending. */
export interface PeerRates {
  /** Same family, whoever sells it. */
  family: Picos[];
  /** The family of which this model is a dearer edition. */
  base: Picos[];
  /** Other generations of the model. */
  line: Picos[];
  /** Same seller and kind of model. */
  provider: Picos[];
}

/** The rate that is the fewest times larger or smaller than `picos`, of an ascending list of positive rates. */
export function nearestOf(ascending: readonly Picos[], picos: Picos): Picos | undefined {
  const below = ascending.findLast((rate) => rate <= picos);
  const above = ascending.find((rate) => rate > picos);
  if (below === undefined || above === undefined) return below ?? above;
  return picos * picos <= below * above ? below : above;
}

/** Whether one positive amount is more than `thousandths / 1000` times the other. */
export function apart(a: Picos, b: Picos, thousandths: bigint): boolean {
  const [large, small] = a > b ? [a, b] : [b, a];
  return large * 1000n > small * thousandths;
}

/** Relatives of a model, found once for all its rates. The model's own price is not a peer of it. */
export class Peers {
  private readonly family: GuardedPrice[] = [];
  private readonly base: GuardedPrice[] = [];
  private readonly line: GuardedPrice[] = [];
  private readonly provider: GuardedPrice[] = [];

  constructor(
    readonly traits: ModelTraits,
    proposed: GuardedPrice,
    all: readonly GuardedPrice[],
  ) {
    for (const peer of all) {
      if (peer.model === proposed.model && peer.provider === proposed.provider) continue;
      const other = traitsOf(peer);
      if (other.family !== '' && other.family === traits.family) this.family.push(peer);
      if (traits.baseFamily !== undefined && other.family === traits.baseFamily) this.base.push(peer);
      if (other.line !== '' && other.line === traits.line && other.family !== traits.family) this.line.push(peer);
      if (other.provider !== '' && other.provider === traits.provider && other.kind === traits.kind)
        this.provider.push(peer);
    }
  }

  of(rate: RateName): PeerRates {
    return {
      family: positiveRates(this.family, rate),
      base: positiveRates(this.base, rate),
      line: positiveRates(this.line, rate),
      provider: positiveRates(this.provider, rate),
    };
  }
}

/** Free offers say nothing about what the paid ones cost. */
function positiveRates(prices: readonly GuardedPrice[], rate: RateName): Picos[] {
  return prices
    .map((p) => p.rates[rate])
    .filter((picos): picos is Picos => picos !== undefined && picos > 0n)
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
