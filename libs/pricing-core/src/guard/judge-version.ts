import type { BackendConfig, PriceVersion, RateCard } from '@meritorder/contracts';
import { parseDecimal, type Picos } from '@meritorder/kernel';
import type { HoldReason } from '../intake.js';
import { guardedRatesOf } from './guarded-rates.js';
import type { GuardedPrice, RateName } from './guarded-price.js';
import { judgePrice } from './judge-price.js';
import { ownCostReasons } from './own-costs.js';

type Prices = Pick<PriceVersion, 'cash' | 'accountFactor' | 'currency'>;

/** A price that is known to be right, of any model. The same object each time: what its name says is remembered with it. */
export interface PricePeer {
  model: string;
  provider: string;
  price: Prices;
  /** Of the catalogue: where it is from. A price is no witness for itself. */
  source?: string;
}

export interface VersionQuestion {
  /** In force when the proposed one begins to act; undefined: the first of its series. */
  previous: PriceVersion | undefined;
  proposed: PriceVersion;
  /** All of it is an operator's word. Rates that `sources` names are anyway. */
  zeroIsExplicit: boolean;
  backend: Pick<BackendConfig, 'kind' | 'provider' | 'model'>;
  peers: readonly PricePeer[];
}

/**
 * Why a price version waits for a person; nothing when it may act at once. What is paid to others is compared in USD after the
 * account's factor and the exchange rate, so that a slip in either shows: every rate of the standard table, the long-context
 * tiers, the time bands, the service tiers and the units. What own hardware costs has no list price to be compared with, so it is
 * judged against what it was and against what no token costs.
 */
export function judgeVersion({ previous, proposed, zeroIsExplicit, backend, peers }: VersionQuestion): HoldReason[] {
  const model = proposed.model ?? backend.model;
  const own = { model, provider: backend.provider };
  const statesOwnCosts = backend.kind === 'local' && !isFree(proposed.full);
  const before = previous && inUsd(previous, previous.cash);
  const { reasons } = judgePrice(
    before && { ...own, rates: before },
    // A fee that was there and is not any more has fallen to zero.
    { ...own, rates: { ...(before?.['request'] ? { request: 0n } : {}), ...inUsd(proposed, proposed.cash) } },
    peers.filter((p) => p.source === undefined || p.source !== proposed.source).map(guardedPeer),
    { zeroIsExplicit: (rate) => zeroIsExplicit || statesOwnCosts || isWritten(proposed, rate) },
  );
  return [
    ...reasons,
    ...ownCostReasons('full', ownCosts(previous, 'full'), ownCosts(proposed, 'full')),
    ...ownCostReasons('marginal', ownCosts(previous, 'marginal'), ownCosts(proposed, 'marginal')),
  ];
}

/** Own hardware pays nobody, so zero cash says nothing there as long as it says what it costs. */
function isFree(card: RateCard): boolean {
  return card.inputPicosPerToken === '0' && card.outputPicosPerToken === '0';
}

/** Whether the operator wrote this rate, in a price that otherwise is the catalogue's. */
function isWritten({ sources }: PriceVersion, rate: RateName): boolean {
  return sources?.[`${rate}UsdPerMillionTokens`] !== undefined;
}

/** Undefined where it is the same as the cash, which was judged. */
function ownCosts(
  version: PriceVersion | undefined,
  kind: 'full' | 'marginal',
): Readonly<Record<RateName, Picos>> | undefined {
  const card = version?.[kind];
  if (!card || JSON.stringify(card) === JSON.stringify(version.cash)) return undefined;
  return inUsd(version, card);
}

function inUsd(price: Prices, card: RateCard): Record<RateName, Picos> {
  const rates = guardedRatesOf(card);
  const factors = [price.accountFactor, price.currency?.usdPerUnit].filter((text) => text !== undefined);
  if (factors.length === 0) return rates;
  const scale = 10n ** 12n;
  const convert = (picos: Picos): Picos => {
    const exact = factors.reduce((product, factor) => product * parseDecimal(factor, 12), picos);
    const usd = exact / scale ** BigInt(factors.length);
    // Too little for a pico-USD is still not free.
    return usd === 0n && exact > 0n ? 1n : usd;
  };
  return Object.fromEntries(Object.entries(rates).map(([rate, picos]) => [rate, convert(picos)]));
}

const peersKnown = new WeakMap<PricePeer, GuardedPrice>();

function guardedPeer(peer: PricePeer): GuardedPrice {
  let known = peersKnown.get(peer);
  if (!known) {
    known = { model: peer.model, provider: peer.provider, rates: inUsd(peer.price, peer.price.cash) };
    peersKnown.set(peer, known);
  }
  return known;
}
