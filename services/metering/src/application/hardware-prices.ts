import type { BackendConfig, HostConfig } from '@meritorder/contracts';
import {
  cardsChangeAtMs,
  EMPTY_FIT,
  hardwareCards,
  hostOf,
  throughputOf,
  type Throughput,
  type ThroughputFit,
} from '@meritorder/hardware-core';
import type { PriceProposal } from '@meritorder/pricing-core';

/**
 * What a local backend without written prices costs per token, from its host's costs and its engine's speed: cash zero, full at
 * practical capacity, marginal as energy and wear. Where energy has a tariff and clocks will change, the prices after that are a
 * second proposal. None where its host is not configured or has no capacity that fixed cost could be spread over: a missing
 * price is an error, not zero.
 * @param fitted the state that prices rest on; absent: what is configured.
 */
export function hardwareProposals(
  backend: BackendConfig,
  hosts: readonly HostConfig[],
  nowMs: number,
  fitted?: ThroughputFit,
): PriceProposal[] {
  const config = hosts.find((h) => h.id === backend.host);
  if (!config || !backend.throughput) return [];
  const host = hostOf(config);
  const throughput = throughputOf(backend.throughput, fitted);
  const source = sourceText(config, throughput);
  const at = (atMs: number, effectiveFrom: string | null): PriceProposal[] => {
    const cards = hardwareCards(host, throughput, atMs);
    return cards ? [{ backend: backend.id, effectiveFrom, derived: true, source, ...cards }] : [];
  };
  const changeMs = cardsChangeAtMs(host, nowMs);
  return [...at(nowMs, null), ...(changeMs === undefined ? [] : at(changeMs, new Date(changeMs).toISOString()))];
}

/** The fit of a database row; undefined for none, and for one that another version wrote: it is begun anew. */
export function fitOf(state: unknown): ThroughputFit | undefined {
  if (state === null || state === undefined) return undefined;
  return (state as ThroughputFit).version === EMPTY_FIT.version ? (state as ThroughputFit) : undefined;
}

/** What a price rests on, for people who look at it in the book. */
function sourceText(host: HostConfig, throughput: Throughput): string {
  const { gpus, prefillTokensPerSecond, prefillCounts, prefillBasis, decodeTokensPerSecond, decodeBasis, batch } =
    throughput;
  return [
    `cost of host ${host.id} at practical capacity ${host.practicalCapacity} of available time`,
    `replica of ${gpus} GPU${gpus === 1 ? '' : 's'}`,
    `prefill ${short(prefillTokensPerSecond)} tokens/s of ${prefillCounts} input (${prefillBasis})`,
    `decode ${short(decodeTokensPerSecond)} tokens/s at batch ${short(batch)} (${decodeBasis})`,
    ...(throughput.attempts > 0 ? [`fitted from ${throughput.attempts} attempts`] : []),
  ].join('; ');
}

function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}
