import type { Picos } from '@meritorder/kernel';
import type { ModelTraits } from './family.js';
import type { RateName } from './guarded-price.js';
import { isCacheRead, isTokenRate } from './rate-kind.js';

/** Inclusive bounds in pico-USD per token, or each. */
export interface RateBounds {
  /** Outside of these nothing was ever sold: held whatever the peers say. */
  absurdBelow: Picos;
  absurdAbove: Picos;
  /** From here on dearer than all but a few models that cost this much in truth: held unless a relative vouches for it. */
  unusualFrom: Picos;
  /** What a message calls the group that the unusual bound is for. */
  group: string;
}

const USD_PER_MILLION = 1_000_000n;
const USD = 1_000_000_000_000n;

/**
 * What a rate can be, from public list prices of 2020 to 2025. The dearest text model ever listed cost $150 input and $600
 * output per 1M (o1-pro), next to it are $75 and $180; audio tokens cost up to $100 and $200. The cheapest
 * input is about $0.005 ($0.003 for a reranker), the cheapest cache hit about $0.002. A slip of 1,000 or more leaves this range at one end for
 * most models, and the narrower bounds of small models, whose names tell their size, catch most of the rest.
 */
export function boundsOf(rate: RateName, traits: ModelTraits): RateBounds {
  if (!isTokenRate(rate)) {
    // Searches, pages and audio hours cost $0.00001 to a few USD; a price per 1,000 typed as each is $5 to $50.
    return { absurdBelow: 100_000n, absurdAbove: 100n * USD, unusualFrom: 5n * USD, group: 'fees' };
  }
  const bounds = { absurdBelow: isCacheRead(rate) ? 400n : 4_000n, absurdAbove: 1_000n * USD_PER_MILLION };
  const top = (/^(output|reasoning)/.test(rate) ? 300n : 100n) * USD_PER_MILLION;
  if (traits.kind === 'vector' && rate === 'input') {
    return { ...bounds, absurdBelow: 1_000n, unusualFrom: 10n * USD_PER_MILLION, group: 'embeddings and the like' };
  }
  if (traits.kind === 'text' && traits.billions !== undefined && traits.billions < 100) {
    return { ...bounds, unusualFrom: 20n * USD_PER_MILLION, group: `models of ${traits.billions} billion parameters` };
  }
  if (traits.kind === 'text' && traits.smallEdition) {
    return { ...bounds, unusualFrom: 50n * USD_PER_MILLION, group: 'small editions' };
  }
  return { ...bounds, unusualFrom: top, group: 'all models' };
}
