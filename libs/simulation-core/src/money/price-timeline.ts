import type { BackendConfig, HostConfig, MeritorderConfig, PriceVersion } from '@meritorder/contracts';
import { cardsChangeAtMs, configuredThroughput, hardwareCards, hostOf } from '@meritorder/hardware-core';
import { sha256Hex } from '@meritorder/kernel';
import {
  priceInForce,
  proposalDigest,
  proposalsFor,
  versionOf,
  type CatalogueEntry,
  type PriceProposal,
} from '@meritorder/pricing-core';

/** Where prices without a beginning begin. */
const ALWAYS = '1970-01-01T00:00:00.000Z';
/** Clocks change twice a year. */
const MOST_CARDS = 200;

/** The prices of one backend over the time of a run: which version is in force, and those of others that may answer for it. */
export class PriceTimeline {
  private readonly steps: { fromMs: number; price: PriceVersion | undefined; others: readonly PriceVersion[] }[];
  private at = 0;

  constructor(versions: readonly PriceVersion[]) {
    const starts = [...new Set(versions.map((v) => Date.parse(v.effectiveFrom)))].sort((a, b) => a - b);
    const models = [...new Set(versions.flatMap((v) => (v.model === undefined ? [] : [v.model])))];
    this.steps = [-Infinity, ...starts].map((fromMs) => ({
      fromMs,
      price: priceInForce(versions, fromMs),
      others: models.flatMap((model) => priceInForce(versions, fromMs, model) ?? []),
    }));
  }

  /** Time goes on, so the last step is looked at first. */
  inForce(atMs: number): { price: PriceVersion | undefined; others: readonly PriceVersion[] } {
    if (atMs < this.steps[this.at]!.fromMs) this.at = 0;
    while (this.at + 1 < this.steps.length && this.steps[this.at + 1]!.fromMs <= atMs) this.at += 1;
    return this.steps[this.at]!;
  }
}

/**
 * What the books had of a backend's prices in the period, as long as that has all that the configuration says of it: then nothing is
 * asked but what was, and what was taken in beside the configuration counts. Else what the configuration and the catalogue say; of
 * own hardware without written prices, its host's cost.
 * @throws PriceConfigError with the line to add
 */
export function priceTimeline(
  backend: BackendConfig,
  config: Pick<MeritorderConfig, 'accounts' | 'exchangeRates' | 'hosts'>,
  catalogueOf: (name: string) => readonly CatalogueEntry[],
  period: Period,
  booked: readonly PriceVersion[] = [],
): PriceTimeline {
  const proposals =
    backend.prices.length === 0 && backend.throughput
      ? hardwareProposals(backend, config.hosts, period)
      : proposalsFor(backend, config, catalogueOf);
  const configured = proposals.map((p) => versionOf(p, p.effectiveFrom ?? ALWAYS, sha256Hex));
  const known = booked.filter((version) => version.backend === backend.id);
  const contents = new Set(known.map(contentOf));
  const asBooked = known.length > 0 && actingIn(configured, period).every((v) => contents.has(contentOf(v)));
  return new PriceTimeline(asBooked ? known : configured);
}

interface Period {
  fromMs: number;
  toMs: number;
}

/** Those in force at some time of it. */
function actingIn(versions: readonly PriceVersion[], { fromMs, toMs }: Period): PriceVersion[] {
  return versions.filter((version) => {
    const startMs = Date.parse(version.effectiveFrom);
    return startMs <= toMs && (startMs > fromMs || priceInForce(versions, fromMs, version.model) === version);
  });
}

function contentOf({ id: _id, ...content }: PriceVersion): string {
  return proposalDigest({ ...content, derived: false });
}

/** At the speed that is configured, from the beginning of the run, and again whenever clocks change while energy has a tariff. */
function hardwareProposals(
  backend: BackendConfig,
  hosts: readonly HostConfig[],
  { fromMs, toMs }: Period,
): PriceProposal[] {
  const config = hosts.find((h) => h.id === backend.host);
  if (!config || !backend.throughput) return [];
  const host = hostOf(config);
  const throughput = configuredThroughput(backend.throughput);
  const proposals: PriceProposal[] = [];
  let atMs: number | undefined = fromMs;
  while (atMs !== undefined && atMs <= toMs && proposals.length < MOST_CARDS) {
    const cards = hardwareCards(host, throughput, atMs);
    const effectiveFrom = atMs === fromMs ? null : new Date(atMs).toISOString();
    if (cards)
      proposals.push({ backend: backend.id, effectiveFrom, derived: true, source: `cost of ${host.id}`, ...cards });
    atMs = cardsChangeAtMs(host, atMs);
  }
  return proposals;
}
