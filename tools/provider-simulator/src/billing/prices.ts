/**
 * Exact prices. Token prices are integer pico-USD per token, a call is summed in pico-USD and rounded once, half to
 * even, to nano-USD. No floating point is involved.
 */

/** Prices of one model in pico-USD: per token, and per request. */
export interface Prices {
  input: bigint;
  cachedInput: bigint;
  cacheWrite: bigint;
  output: bigint;
  perRequest: bigint;
}

/** What a call used. The three kinds of input are disjoint: the prompt is their sum. */
export interface Usage {
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  outputTokens: number;
}

const DECIMAL = /^(\d{1,12})(?:\.(\d+))?$/;
const PICOS_PER_NANO = 1_000n;
const USD_PER_MILLION_DECIMALS = 6;
const USD_DECIMALS = 12;

function parse(text: string, decimals: number): bigint {
  const match = DECIMAL.exec(text);
  if (!match) throw new RangeError(`"${text}" is not a price such as "0.40"`);
  const fraction = match[2] ?? '';
  if (fraction.length > decimals) throw new RangeError(`"${text}" has more than ${decimals} decimals`);
  return BigInt(match[1]! + fraction.padEnd(decimals, '0'));
}

/** USD per 1M tokens to pico-USD per token: 10^12 / 10^6 = 10^6, so six decimals are exact and more are refused. */
export function picosPerToken(usdPerMillionTokens: string): bigint {
  return parse(usdPerMillionTokens, USD_PER_MILLION_DECIMALS);
}

/** USD per request to pico-USD; twelve decimals are exact and more are refused. */
export function picosPerRequest(usd: string): bigint {
  return parse(usd, USD_DECIMALS);
}

/** The charge for one call (one request) in nano-USD. */
export function chargeNanos(usage: Usage, prices: Prices): bigint {
  return roundHalfEven(
    BigInt(usage.inputTokens) * prices.input +
      BigInt(usage.cachedInputTokens) * prices.cachedInput +
      BigInt(usage.cacheWriteTokens) * prices.cacheWrite +
      BigInt(usage.outputTokens) * prices.output +
      prices.perRequest,
  );
}

/** Non-negative pico-USD to nano-USD; a half goes to the even neighbour. */
export function roundHalfEven(picos: bigint): bigint {
  const nanos = picos / PICOS_PER_NANO;
  const twiceRest = (picos % PICOS_PER_NANO) * 2n;
  const up = twiceRest > PICOS_PER_NANO || (twiceRest === PICOS_PER_NANO && nanos % 2n === 1n);
  return up ? nanos + 1n : nanos;
}

/** 412000n to "0.000412000": always nine decimals. */
export function nanosToUsd(nanos: bigint): string {
  const digits = nanos.toString().padStart(10, '0');
  return `${digits.slice(0, -9)}.${digits.slice(-9)}`;
}
