import type { OrgConversion } from './segments.js';

/** Conversions that the configured revenue, or the segment above, counts as: economics section 3's for means. */
const PARENT_CONVERSIONS = 20;

export interface RevenuePrediction {
  /** Of a conversion, net of refunds as far as they have come; at least 0. USD. */
  readonly usd: number;
  /** `configured`: nothing was reported of this segment. `unknown`: 0, since nothing was configured or reported; a learned 0 is `learned`. */
  readonly from: 'configured' | 'learned' | 'unknown';
}

/**
 * What a conversion brings: the decayed mean of the segment, shrunken to that of the segment above. What is configured is of the
 * request's own tier or route, so where it is, the means start there, and what other segments bring says nothing; otherwise at the
 * mean of the org. Learned for the segment and not by backend, since what an answer changes is whether there is a conversion.
 */
export function predictRevenue(
  state: OrgConversion,
  segment: readonly string[],
  configuredUsd?: number,
): RevenuePrediction {
  let meanUsd = configuredUsd;
  let isLearned = false;
  for (const name of configuredUsd === undefined ? ['', ...segment] : segment) {
    const { revenueUsd = 0, paid = 0 } = state.segments.get(name) ?? {};
    if (paid <= 0) continue;
    isLearned = true;
    meanUsd =
      meanUsd === undefined
        ? revenueUsd / paid
        : (revenueUsd + PARENT_CONVERSIONS * meanUsd) / (paid + PARENT_CONVERSIONS);
  }
  const from = isLearned ? 'learned' : configuredUsd === undefined ? 'unknown' : 'configured';
  return { usd: Math.max(0, meanUsd ?? 0), from };
}
