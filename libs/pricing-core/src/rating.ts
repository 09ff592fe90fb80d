import type { PriceVersion, Rates, Usage } from '@meritorder/contracts';
import { picosToNanosCeil, picosToNanosHalfEven, PICOS_PER_NANO, type Nanos, type Picos } from '@meritorder/kernel';

/** Rates as integers: pico-USD per token, and per request. */
export interface CompiledRates {
  input: Picos;
  cacheRead: Picos;
  cacheWrite5m: Picos;
  cacheWrite1h: Picos;
  output: Picos;
  request: Picos;
}

const compiled = new WeakMap<Rates, CompiledRates>();

/** The rates of a price version as bigints; remembered per object. */
export function compileRates(rates: Rates): CompiledRates {
  let known = compiled.get(rates);
  if (!known) {
    known = {
      input: BigInt(rates.inputPicosPerToken),
      cacheRead: BigInt(rates.cacheReadPicosPerToken),
      cacheWrite5m: BigInt(rates.cacheWrite5mPicosPerToken),
      cacheWrite1h: BigInt(rates.cacheWrite1hPicosPerToken),
      output: BigInt(rates.outputPicosPerToken),
      request: BigInt(rates.requestPicos),
    };
    compiled.set(rates, known);
  }
  return known;
}

/** The exact cost of a usage in pico-USD. Counts are non-negative integers of a disjoint vector. */
export function costPicos(rates: CompiledRates, usage: Usage): Picos {
  return (
    rates.input * BigInt(usage.inputTokens) +
    rates.cacheRead * BigInt(usage.cacheReadTokens) +
    rates.cacheWrite5m * BigInt(usage.cacheWrite5mTokens) +
    rates.cacheWrite1h * BigInt(usage.cacheWrite1hTokens) +
    rates.output * BigInt(usage.outputTokens) +
    rates.request * BigInt(usage.requests)
  );
}

/** The cost of an attempt as it is booked: nano-USD, rounded once, half to even. */
export function costNanos(rates: CompiledRates, usage: Usage): Nanos {
  return picosToNanosHalfEven(costPicos(rates, usage));
}

/** Both costs of an attempt at a price version: what receipts show and what metering books. */
export function rate(price: Pick<PriceVersion, 'cash' | 'full'>, usage: Usage): { cashNanos: Nanos; fullNanos: Nanos } {
  return {
    cashNanos: costNanos(compileRates(price.cash), usage),
    fullNanos: costNanos(compileRates(price.full), usage),
  };
}

/** An upper bound of a cost as a line: `fixedNanos + perOutputTokenNanos x maxTokens`, where maxTokens is of one choice. */
export interface BoundLine {
  fixedNanos: Nanos;
  perOutputTokenNanos: Nanos;
}
export interface Bound {
  cash: BoundLine;
  full: BoundLine;
}

/**
 * The largest cost an attempt can have: every input token at the dearest rate an input token can have (uncached, cache read,
 * cache write), one request fee, every choice at its longest; each part rounded up.
 */
export function boundOf(
  price: Pick<PriceVersion, 'cash' | 'full'>,
  allows: { inputTokensBound: number; choices: number },
): Bound {
  return { cash: line(compileRates(price.cash), allows), full: line(compileRates(price.full), allows) };
}

function line(rates: CompiledRates, allows: { inputTokensBound: number; choices: number }): BoundLine {
  const dearest = [rates.cacheRead, rates.cacheWrite5m, rates.cacheWrite1h].reduce(
    (a, b) => (b > a ? b : a),
    rates.input,
  );
  return {
    fixedNanos: picosToNanosCeil(dearest * BigInt(allows.inputTokensBound) + rates.request),
    perOutputTokenNanos: ((rates.output + PICOS_PER_NANO - 1n) / PICOS_PER_NANO) * BigInt(allows.choices),
  };
}

export function boundNanos(line: BoundLine, maxTokens: number): Nanos {
  return line.fixedNanos + line.perOutputTokenNanos * BigInt(maxTokens);
}
