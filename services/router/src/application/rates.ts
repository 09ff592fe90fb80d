import type { OrgConfig } from '@meritorder/contracts';
import type { AccountRate, OrgRate } from '@meritorder/counters';
import type { Able } from '@meritorder/routing-core';
import type { Catalogue } from './ports.js';

/** The quota of an org; undefined: it has none. */
export function orgRateOf({ id, quotas }: Pick<OrgConfig, 'id' | 'quotas'>): OrgRate | undefined {
  return quotas?.requestsPerMinute === undefined ? undefined : { org: id, requestsPerMinute: quotas.requestsPerMinute };
}

/** What a candidate takes of its account: providers count what is expected of a request, not its bound. */
export function accountRateOf(
  { backend, estimate, maxTokens }: Able,
  catalogue: Pick<Catalogue, 'accountLimits'>,
  choices: number,
): AccountRate | undefined {
  // What providers allow in batches does not count against what they allow at once.
  if (backend.batch) return undefined;
  const limits = catalogue.accountLimits(backend.provider);
  if (limits?.requestsPerMinute === undefined && limits?.tokensPerMinute === undefined) return undefined;
  const output = Math.min(maxTokens, estimate.outputTokensExpected) * choices;
  return {
    account: backend.provider,
    requestsPerMinute: limits.requestsPerMinute,
    tokensPerMinute: limits.tokensPerMinute,
    tokens: Math.ceil(estimate.inputTokensExpected + output),
  };
}
