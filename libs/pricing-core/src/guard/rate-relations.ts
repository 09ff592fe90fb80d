import type { ModelTraits } from './family.js';
import type { GuardedPrice, GuardReason } from './guarded-price.js';
import { factorText, rateText } from './price-text.js';
import { isCacheRead, isCacheWrite, tierBase } from './rate-kind.js';

/** Output of text costs 1x to 25x its input in public lists; image and audio tokens up to 100x. */
const OUTPUT_AT_MOST = { text: 40n, vector: 40n, media: 200n } as const;
/** A little dearer input than output occurs (open models that are limited by prefill), 5x does not. */
const OUTPUT_AT_LEAST_FRACTION = 5n;
/** Cache writes are listed at 1x to 2x input. */
const CACHE_WRITE_AT_MOST = 4n;
/** Cache hits are listed at 1/100 of input to the full input price. */
const CACHE_READ_AT_LEAST_FRACTION = 200n;
/** Batch is listed at half, priority at twice, long context at twice the plain rate; a cache hit by day at 12x the night's. */
const TIER_FACTOR = 10n;
const CACHE_READ_TIER_FACTOR = 25n;

/**
 * What the rates of one price say about each other. A slip in one of them shows here even when its amount could be a
 * price. Zero and absent rates say nothing.
 */
export function relationReasons(price: GuardedPrice, traits: ModelTraits): GuardReason[] {
  const { input, output } = price.rates;
  const reasons: GuardReason[] = [];
  if (input && output) {
    const most = OUTPUT_AT_MOST[traits.kind];
    const figures = `output is ${rateText('output', output)}, input ${rateText('input', input)}`;
    if (output > input * most) {
      reasons.push({
        code: 'ratio',
        rate: 'output',
        message: `${figures}: output is ${factorText(output, input)} its input, more than ${most}x`,
      });
    } else if (output * OUTPUT_AT_LEAST_FRACTION < input) {
      reasons.push({
        code: 'ratio',
        rate: 'output',
        message: `${figures}: output is ${factorText(output, input)} cheaper than its input, more than ${OUTPUT_AT_LEAST_FRACTION}x`,
      });
    }
  }
  for (const [rate, picos] of Object.entries(price.rates)) {
    if (!picos) continue;
    const base = tierBase(rate);
    const plain = base === undefined ? undefined : price.rates[base];
    if (base !== undefined) {
      const most = isCacheRead(rate) ? CACHE_READ_TIER_FACTOR : TIER_FACTOR;
      if (plain && (picos > plain * most || picos * most < plain)) {
        reasons.push({
          code: 'tier-ratio',
          rate,
          message: `${rate} is ${rateText(rate, picos)}, ${factorText(picos, plain)} away from ${base} at ${rateText(base, plain)}, more than ${most}x`,
        });
      }
      continue;
    }
    // A modality's cache (cacheReadAudioTokens) belongs to that modality's input, which may be dearer than plain input.
    const cached = input && /^cache(Read|Write\w*)$/.test(rate) && !rate.endsWith('Tokens');
    if (!cached) continue;
    const figures = `${rate} is ${rateText(rate, picos)}, input ${rateText('input', input)}`;
    if (isCacheRead(rate) && picos > input) {
      reasons.push({ code: 'cache-ratio', rate, message: `${figures}: a cache hit is dearer than no hit` });
    } else if (isCacheRead(rate) && picos * CACHE_READ_AT_LEAST_FRACTION < input) {
      reasons.push({
        code: 'cache-ratio',
        rate,
        message: `${figures}: a cache hit is ${factorText(picos, input)} cheaper, more than ${CACHE_READ_AT_LEAST_FRACTION}x`,
      });
    } else if (isCacheWrite(rate) && picos > input * CACHE_WRITE_AT_MOST) {
      reasons.push({
        code: 'cache-ratio',
        rate,
        message: `${figures}: a cache write is ${factorText(picos, input)} its input, more than ${CACHE_WRITE_AT_MOST}x`,
      });
    }
  }
  return reasons;
}
