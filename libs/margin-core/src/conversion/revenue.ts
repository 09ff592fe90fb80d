import type { OrgConversion } from './segments.js';

/** Conversions that the segment above counts as: economics section 3's for means. */
const PARENT_CONVERSIONS = 20;

/** What is known of a conversion's revenue without learning; USD. */
export interface KnownRevenue {
  /** Of the request itself, or of its tier: it is taken as it is. */
  readonly givenUsd?: number | undefined;
  /** What a conversion brings at least, such as the price of the smallest plan: what is learned is never taken for less. */
  readonly leastUsd?: number | undefined;
}

export interface RevenuePrediction {
  /** Of a conversion, net of refunds as far as they have come; at least 0. */
  readonly usd: number;
  /** `unknown`: 0, since nothing was given or learned. */
  readonly from: 'given' | 'learned' | 'least' | 'unknown';
  /** Decayed conversions of this segment with a stated revenue. */
  readonly conversions: number;
}

/**
 * What a conversion brings: given, or the decayed mean of the segment, shrunken to that of the segment above. Learned for the
 * segment and not by backend, since what an answer changes is whether there is a conversion.
 */
export function predictRevenue(
  state: OrgConversion,
  segment: readonly string[],
  { givenUsd, leastUsd }: KnownRevenue = {},
): RevenuePrediction {
  const conversions = state.segments.get(segment.at(-1) ?? '')?.paid ?? 0;
  if (givenUsd !== undefined) return { usd: Math.max(0, givenUsd), from: 'given', conversions };
  const learnedUsd = learnedRevenue(state, segment);
  if (learnedUsd !== undefined && learnedUsd >= (leastUsd ?? 0))
    return { usd: learnedUsd, from: 'learned', conversions };
  if (leastUsd !== undefined) return { usd: Math.max(0, leastUsd), from: 'least', conversions };
  return { usd: 0, from: learnedUsd === undefined ? 'unknown' : 'learned', conversions };
}

function learnedRevenue(state: OrgConversion, segment: readonly string[]): number | undefined {
  let meanUsd: number | undefined;
  for (const name of ['', ...segment]) {
    const { revenueUsd = 0, paid = 0 } = state.segments.get(name) ?? {};
    if (meanUsd === undefined) meanUsd = paid > 0 ? revenueUsd / paid : undefined;
    else meanUsd = (revenueUsd + PARENT_CONVERSIONS * meanUsd) / (paid + PARENT_CONVERSIONS);
  }
  return meanUsd;
}
