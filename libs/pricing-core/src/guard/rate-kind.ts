import type { RateName } from './guarded-price.js';

/** What a rate is counted in: tokens, or things that have a fee each (requests, searches, pages, hours). */
export function isTokenRate(rate: RateName): boolean {
  return (
    /^(input|output|cache|reasoning|citation)|tokens?($|[A-Z])/.test(rate) && !/(Hours?|Seconds?|Pages?)$/.test(rate)
  );
}

export function isCacheRead(rate: RateName): boolean {
  return rate.startsWith('cacheRead');
}

export function isCacheWrite(rate: RateName): boolean {
  return rate.startsWith('cacheWrite');
}

/** The plain rate that a tier or a service class modifies: `input` of `inputAbove200k`; undefined for everything else. */
export function tierBase(rate: RateName): RateName | undefined {
  return /^(input|output|cacheRead|cacheWrite\w*?)(?=Above|Over|From\d|Batch|Flex|Priority)/.exec(rate)?.[1];
}
