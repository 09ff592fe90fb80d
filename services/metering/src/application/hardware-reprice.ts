import type { BackendConfig, HostConfig, PriceVersion, RateCard } from '@meritorder/contracts';
import type { ThroughputFit } from '@meritorder/hardware-core';
import { priceInForce } from '@meritorder/pricing-core';
import { hardwareProposals } from './hardware-prices.js';

/** A derived price that moved by less than this stays: every version is news to routers and to people. */
export const MOVED_SHARE = 0.05;
/** How often a backend's derived price may change. */
export const REPRICE_EVERY_MS = 3_600_000;

export interface RepriceQuestion {
  backend: BackendConfig;
  hosts: readonly HostConfig[];
  /** Published versions of this backend. */
  published: readonly PriceVersion[];
  /** As of the last attempt. */
  latest: ThroughputFit | undefined;
  pricedAtMs: number | undefined;
  nowMs: number;
}

/**
 * Whether derived prices should be taken anew, resting on the latest fit and on what the host costs now: when a rate moved, and
 * at most once an hour. Written prices never follow.
 */
export function shouldReprice({ backend, hosts, published, latest, pricedAtMs, nowMs }: RepriceQuestion): boolean {
  if (backend.prices.length > 0 || !backend.throughput) return false;
  if (pricedAtMs !== undefined && nowMs - pricedAtMs < REPRICE_EVERY_MS) return false;
  const inForce = priceInForce(published, nowMs);
  const [proposed] = hardwareProposals(backend, hosts, nowMs, latest);
  if (!inForce || !proposed) return false;
  return moved(inForce.full, proposed.full) || moved(inForce.marginal ?? inForce.cash, proposed.marginal!);
}

const RATES = ['inputPicosPerToken', 'cacheReadPicosPerToken', 'outputPicosPerToken'] as const;

function moved(before: RateCard, after: RateCard): boolean {
  return RATES.some((rate) => {
    const [a, b] = [Number(before[rate]), Number(after[rate])];
    return Math.abs(a - b) > MOVED_SHARE * Math.max(1, a);
  });
}
