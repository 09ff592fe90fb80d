import type { BackendConfig, MeritorderConfig, PriceConfig, PriceVersion, RateCard } from '@meritorder/contracts';
import { canonicalJson, formatDecimal, parseDecimal } from '@meritorder/kernel';
import {
  cardFromConfig,
  catalogueNameOf,
  missingBatchRateOf,
  missingPriceOf,
  PriceConfigError,
} from './price-config.js';

/** What the catalogue says of a model from an instant on; `from` null: always. Sorted, the undated one first. */
export interface CatalogueEntry {
  from: string | null;
  card: RateCard;
  source: string;
}

/** A price version that is not in the book yet. */
export interface PriceProposal extends Omit<PriceVersion, 'id' | 'effectiveFrom'> {
  /** Null: whenever it is taken into the book. */
  effectiveFrom: string | null;
  /**
   * Rests on the catalogue or on a host's costs, not on the operator's word alone: when those change, the change acts from then
   * on and never on what was rated before.
   */
  derived: boolean;
  /**
   * What the operator says in it (own prices, the account's adjustment, an exchange rate), as text that is equal for equal
   * numbers; absent: nothing. When this changes, it acts from the instant that was written, also in the past.
   */
  word?: string;
}

type Context = Pick<MeritorderConfig, 'accounts' | 'exchangeRates'>;

/**
 * All prices that a backend's configuration stands for: the operator's own laid over the catalogue's, adjusted for the account
 * and in the currency's rate of that time. One proposal for every instant at which any of them changes.
 * @throws PriceConfigError with the line to add.
 */
export function proposalsFor(
  backend: BackendConfig,
  context: Context,
  catalogueOf: (name: string) => readonly CatalogueEntry[],
): PriceProposal[] {
  const asksCatalogue = backend.catalogue !== false && (backend.kind === 'cloud' || backend.catalogue !== undefined);
  const own = series(
    { backend: backend.id, provider: backend.provider, model: backend.model },
    backend.prices,
    context,
    asksCatalogue ? catalogueOf(catalogueNameOf(backend)) : [],
  );
  const others = backend.otherModels.flatMap((other) =>
    series(
      { backend: backend.id, provider: backend.provider, model: other.model },
      other.prices,
      context,
      backend.catalogue === false ? [] : catalogueOf(other.catalogue ?? `${backend.provider}/${other.model}`),
    ).map((proposal) => ({ ...proposal, model: other.model })),
  );
  return [...own, ...others];
}

/**
 * What a backend's prices lack, so that it gets no traffic, and the line to add: any price, or, where it is asked in batches, the
 * rate of the service tier `batch`. Undefined: nothing.
 * @param proposals all that it stands for (`proposalsFor`)
 */
export function lackingPriceOf(backend: BackendConfig, proposals: readonly PriceProposal[]): string | undefined {
  const own = proposals.filter(({ model }) => model === undefined);
  if (own.length === 0) return missingPriceOf(backend);
  return backend.batch && !own.some(({ cash }) => cash.serviceTiers?.batch) ? missingBatchRateOf(backend) : undefined;
}

interface Series {
  backend: string;
  provider: string;
  model: string;
}

function series(
  of: Series,
  prices: readonly PriceConfig[],
  context: Context,
  catalogue: readonly CatalogueEntry[],
): PriceProposal[] {
  const adjustments = (context.accounts.find((a) => a.provider === of.provider)?.adjustments ?? [])
    .filter((a) => a.models === undefined || a.models.includes(of.model))
    .map((a) => ({ ...a, from: instant(a.effectiveFrom) }));
  const overlays = prices.map((p) => ({ ...p, from: instant(p.effectiveFrom) }));
  const currencies = new Set(prices.map((p) => p.currency).filter((c) => c !== undefined && c !== 'USD'));
  const exchange = context.exchangeRates
    .filter((r) => currencies.has(r.currency))
    .map((r) => ({ ...r, from: instant(r.from) }));
  const starts = [...new Set([...catalogue, ...overlays, ...adjustments, ...exchange].map((entry) => entry.from))].sort(
    byStart,
  );
  const proposals: PriceProposal[] = [];
  let before = '';
  for (const start of starts) {
    const listed = inForce(catalogue, start);
    const overlay = inForce(overlays, start);
    if (!listed && !overlay) continue;
    const content = merge(
      of,
      listed,
      overlay,
      inForce(adjustments, start),
      inForce(
        exchange.filter((r) => r.currency === overlay?.currency),
        start,
      ),
    );
    const digest = canonicalJson(content);
    if (digest === before) continue;
    before = digest;
    proposals.push({ ...content, effectiveFrom: start });
  }
  return proposals;
}

function merge(
  of: Series,
  listed: CatalogueEntry | undefined,
  overlay: PriceConfig | undefined,
  adjustment: { percent: string; from: string } | undefined,
  exchange: { currency: string; usdPerUnit: string; from: string | null; source: string } | undefined,
): Omit<PriceProposal, 'effectiveFrom'> {
  const where = `backend ${of.backend}${overlay ? `, prices from ${overlay.effectiveFrom}` : ''}`;
  // A price in another currency has nothing of the catalogue's, which is in USD.
  const inUsd = overlay?.currency === undefined || overlay.currency === 'USD';
  const base = inUsd ? listed?.card : undefined;
  const cash = overlay ? cardFromConfig(overlay.cash, base, `${where}: cash`) : listed!.card;
  const full = overlay?.full ? cardFromConfig(overlay.full, undefined, `${where}: full`) : cash;
  const marginal = overlay?.marginal ? cardFromConfig(overlay.marginal, undefined, `${where}: marginal`) : undefined;
  if (!inUsd && !exchange)
    throw new PriceConfigError(`${where}: exchangeRates has no rate of ${overlay.currency} at that time`);
  const derived = base !== undefined && overlay !== undefined ? dependsOn(overlay, base) : overlay === undefined;
  return {
    backend: of.backend,
    cash,
    full,
    ...(marginal ? { marginal } : {}),
    ...(adjustment ? { accountFactor: factorOf(adjustment.percent) } : {}),
    ...(inUsd || !exchange
      ? {}
      : {
          currency: {
            code: exchange.currency,
            usdPerUnit: exchange.usdPerUnit,
            rateId: `${exchange.currency}-${exchange.from?.slice(0, 10)} ${exchange.source}`.slice(0, 128),
          },
        }),
    source: overlay?.source ?? listed!.source,
    ...sourcesOf(of, derived ? overlay : undefined, listed, adjustment),
    derived,
    ...(overlay || adjustment ? { word: wordOf(overlay, adjustment, inUsd ? undefined : exchange) } : {}),
  };
}

function wordOf(
  overlay: PriceConfig | undefined,
  adjustment: { percent: string } | undefined,
  exchange: { usdPerUnit: string } | undefined,
): string {
  const { source: _source, effectiveFrom: _from, ...prices } = overlay ?? {};
  const said = { prices, percent: adjustment?.percent, usdPerUnit: exchange?.usdPerUnit };
  // "2.50" and "2.5" are the same word.
  return canonicalJson(said).replace(/"(\d+)\.(\d*?)0*"/g, (_, whole: string, rest: string) =>
    rest === '' ? `"${whole}"` : `"${whole}.${rest}"`,
  );
}

/** Whether any rate of the merged card is the catalogue's: only a card that repeats all of them stands alone. */
function dependsOn(overlay: PriceConfig, base: RateCard): boolean {
  try {
    return (
      canonicalJson(cardFromConfig(overlay.cash, base, '')) !==
      canonicalJson(cardFromConfig(overlay.cash, undefined, ''))
    );
  } catch {
    return true;
  }
}

/** Which rates are the operator's, by the name in the configuration; `*` are the others. Absent: all are of one source. */
function sourcesOf(
  of: Series,
  overlay: PriceConfig | undefined,
  listed: CatalogueEntry | undefined,
  adjustment: { percent: string; from: string } | undefined,
): { sources?: Record<string, string> } {
  const sources: Record<string, string> = {};
  if (overlay) {
    sources['*'] = listed!.source;
    for (const name of Object.keys(overlay.cash)) sources[name] = overlay.source;
  }
  if (adjustment)
    sources['accountFactor'] = `accounts: ${of.provider}, ${adjustment.percent} % from ${adjustment.from}`;
  return Object.keys(sources).length > 0 ? { sources } : {};
}

/**
 * Where a rate of a version is from: a file, a page, an entry of the catalogue.
 * @param name as the configuration calls it: `inputUsdPerMillionTokens`, `serviceTiers`; or `accountFactor`, `currency`.
 */
export function sourceOf(version: Pick<PriceVersion, 'source' | 'sources' | 'currency'>, name: string): string {
  if (name === 'currency' && version.currency) return version.currency.rateId;
  return version.sources?.[name] ?? version.sources?.['*'] ?? version.source;
}

/** "-12.5" percent to "0.875". */
function factorOf(percent: string): string {
  return formatDecimal(100_000_000n + parseDecimal(percent, 6), 8).replace(/\.?0+$/, '');
}

function inForce<T extends { from: string | null }>(entries: readonly T[], at: string | null): T | undefined {
  let best: T | undefined;
  for (const entry of entries)
    if (byStart(entry.from, at) <= 0 && (!best || byStart(entry.from, best.from) >= 0)) best = entry;
  return best;
}

function byStart(a: string | null, b: string | null): number {
  return a === b ? 0 : a === null ? -1 : b === null ? 1 : a < b ? -1 : 1;
}

function instant(text: string): string {
  return new Date(text).toISOString();
}

/** What identifies the content of a proposal, whatever its start. */
export function proposalDigest(proposal: Omit<PriceProposal, 'effectiveFrom'> & { effectiveFrom?: unknown }): string {
  const {
    derived: _derived,
    word: _word,
    source: _source,
    sources: _sources,
    effectiveFrom: _effectiveFrom,
    ...content
  } = proposal;
  return canonicalJson(content);
}

/**
 * Makes a version of a proposal. The id is a digest of the content and its start, so the same prices have the same id in every
 * process, and other prices never have it.
 * @param sha256Hex a hex SHA-256; cores have no I/O and no crypto of their own.
 */
export function versionOf(
  proposal: PriceProposal,
  effectiveFrom: string,
  sha256Hex: (text: string) => string,
): PriceVersion {
  const { derived: _derived, word: _word, ...rest } = proposal;
  return {
    ...rest,
    effectiveFrom,
    id: `pv-${sha256Hex(`${effectiveFrom} ${proposalDigest(proposal)}`).slice(0, 24)}`,
  };
}

/**
 * The version of a model's series in force at an instant: the latest that is effective by then; of two from the same instant the
 * later in the list, which is the later in the book. Undefined is "no price", never zero.
 */
export function priceInForce(
  versions: readonly PriceVersion[],
  atMs: number,
  model?: string | undefined,
): PriceVersion | undefined {
  let best: PriceVersion | undefined;
  let bestFrom = -Infinity;
  for (const version of versions) {
    if (version.model !== model) continue;
    const from = Date.parse(version.effectiveFrom);
    if (from <= atMs && from >= bestFrom) {
      best = version;
      bestFrom = from;
    }
  }
  return best;
}
