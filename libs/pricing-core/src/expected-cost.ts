import type { PriceVersion, RateCard, Usage } from '@meritorder/contracts';
import { compileCard, type CompiledRates } from './compiled-card.js';
import { factorsOfPrice, ratesOf, type Served } from './rating.js';

/** What a request is expected to cost, USD. Estimates for a score, so floating point: nothing of it is held or booked. */
export interface ExpectedCost {
  readonly cashUsd: number;
  readonly fullUsd: number;
  readonly marginalUsd: number;
}

/** USD per token or request. */
interface FloatRates {
  readonly input: number;
  readonly cacheRead: number;
  readonly cacheWrite5m: number;
  readonly cacheWrite1h: number;
  readonly output: number;
  readonly request: number;
}
/** A price as an expectation takes it. */
interface FloatPrice {
  readonly factor: number;
  readonly cash: FloatCard;
  /** Undefined: as cash. */
  readonly full: FloatCard | undefined;
  readonly marginal: FloatCard | undefined;
}
interface FloatCard {
  readonly card: RateCard;
  /** Undefined: they depend on the input or on the time of day. */
  readonly rates: FloatRates | undefined;
}
const prices = new WeakMap<PriceVersion, FloatPrice>();
const floats = new WeakMap<CompiledRates, FloatRates>();
const USD_PER_PICO = 1e-12;

/**
 * The cost of expected tokens at the rates that `rate` would take, without its exactness, for a decision that compares
 * many backends. Agrees with `rate` to its rounding (half a nano-dollar) and 1 part in 10^12. Units beside tokens are left out.
 */
export function expectedCost(price: PriceVersion, usage: Usage, served: Served): ExpectedCost {
  let known = prices.get(price);
  if (known === undefined) prices.set(price, (known = floatPriceOf(price)));
  const { factor, cash, full, marginal } = known;
  const cashUsd = factor * costOf(cash, usage, served);
  return {
    cashUsd,
    fullUsd: full === undefined ? cashUsd : factor * costOf(full, usage, served),
    marginalUsd: marginal === undefined ? cashUsd : factor * costOf(marginal, usage, served),
  };
}

function floatPriceOf(price: PriceVersion): FloatPrice {
  const { account, exchange, fullIsCash, marginalIsCash } = factorsOfPrice(price);
  return {
    factor: ratio(account) * ratio(exchange),
    cash: floatCardOf(price.cash),
    full: fullIsCash ? undefined : floatCardOf(price.full),
    marginal: marginalIsCash ? undefined : floatCardOf(price.marginal!),
  };
}

function floatCardOf(card: RateCard): FloatCard {
  const { standard, bands, serviceTiers } = compileCard(card);
  const isPlain = standard.tiers.length === 0 && bands.length === 0 && Object.keys(serviceTiers).length === 0;
  return { card, rates: isPlain ? floatsOf(standard.base) : undefined };
}

function ratio(factor: { numerator: bigint; denominator: bigint } | undefined): number {
  return factor === undefined ? 1 : Number(factor.numerator) / Number(factor.denominator);
}

function costOf({ card, rates }: FloatCard, usage: Usage, served: Served): number {
  const r = rates ?? floatsOf(ratesOf(card, usage, served));
  return (
    r.request * usage.requests +
    r.input * usage.inputTokens +
    r.cacheRead * usage.cacheReadTokens +
    r.cacheWrite5m * usage.cacheWrite5mTokens +
    r.cacheWrite1h * usage.cacheWrite1hTokens +
    r.output * usage.outputTokens
  );
}

function floatsOf(rates: CompiledRates): FloatRates {
  let known = floats.get(rates);
  if (known === undefined) {
    known = {
      input: Number(rates.input) * USD_PER_PICO,
      cacheRead: Number(rates.cacheRead) * USD_PER_PICO,
      cacheWrite5m: Number(rates.cacheWrite5m) * USD_PER_PICO,
      cacheWrite1h: Number(rates.cacheWrite1h) * USD_PER_PICO,
      output: Number(rates.output) * USD_PER_PICO,
      request: Number(rates.request) * USD_PER_PICO,
    };
    floats.set(rates, known);
  }
  return known;
}
