import type { PriceVersion, Usage } from '@meritorder/contracts';
import type { CompiledRates } from './compiled-card.js';
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
const floats = new WeakMap<CompiledRates, FloatRates>();
const USD_PER_PICO = 1e-12;

/**
 * The cost of expected tokens at the rates that `rate` would take, without its exactness: some .3 us, for a decision that compares
 * many backends. Agrees with `rate` to its rounding (half a nano-dollar) and 1 part in 10^12. Units beside tokens are left out.
 */
export function expectedCost(price: PriceVersion, usage: Usage, served: Served): ExpectedCost {
  const { account, exchange, fullIsCash, marginalIsCash } = factorsOfPrice(price);
  const factor = ratio(account) * ratio(exchange);
  const cashUsd = factor * costOf(ratesOf(price.cash, usage, served), usage);
  return {
    cashUsd,
    fullUsd: fullIsCash ? cashUsd : factor * costOf(ratesOf(price.full, usage, served), usage),
    marginalUsd: marginalIsCash ? cashUsd : factor * costOf(ratesOf(price.marginal!, usage, served), usage),
  };
}

function ratio(factor: { numerator: bigint; denominator: bigint } | undefined): number {
  return factor === undefined ? 1 : Number(factor.numerator) / Number(factor.denominator);
}

function costOf(rates: CompiledRates, usage: Usage): number {
  const r = floatsOf(rates);
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
