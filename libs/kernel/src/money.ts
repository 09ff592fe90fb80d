/**
 * Money. Held and booked amounts are integer nano-USD (`bigint`, a decimal string on the wire);
 * prices are integer pico-USD per token. No floating point touches either (design, invariant 8).
 */

/** Integer nano-USD: 1 USD = 10^9. */
export type Nanos = bigint;
/** Integer pico-USD: 1 USD = 10^12. */
export type Picos = bigint;

export const NANOS_PER_USD = 1_000_000_000n;
export const PICOS_PER_NANO = 1_000n;
/** Lua numbers are doubles: a Redis counter above this would lose nano-dollars, so it is refused. */
export const MAX_COUNTER_NANOS: Nanos = 9_007_199_254_740_991n;

const DECIMAL = /^(-?)(\d{1,15})(?:\.(\d+))?$/;

/**
 * Parses a decimal string exactly into an integer count of 10^-scale units.
 * @throws RangeError when the text is not a plain decimal or has more than `scale` fraction digits.
 */
export function parseDecimal(text: string, scale: number): bigint {
  const match = DECIMAL.exec(text.trim());
  if (!match) throw new RangeError(`"${text}" is not a decimal number such as 12.50`);
  const fraction = (match[3] ?? '').replace(/0+$/, '');
  if (fraction.length > scale) throw new RangeError(`"${text}" has more than ${scale} digits after the point`);
  const magnitude = BigInt(match[2]! + fraction.padEnd(scale, '0'));
  return match[1] === '-' ? -magnitude : magnitude;
}

/** Formats an integer count of 10^-scale units as a decimal string with all `scale` digits. */
export function formatDecimal(value: bigint, scale: number): string {
  const sign = value < 0n ? '-' : '';
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0');
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** `"0.000412"` to 412000n nano-USD. @throws RangeError beyond nine fraction digits. */
export function usdToNanos(usd: string): Nanos {
  return parseDecimal(usd, 9);
}

/** 412000n to `"0.000412"`: exact, without trailing zeros. */
export function nanosToUsd(nanos: Nanos): string {
  return formatDecimal(nanos, 9).replace(/\.?0+$/, '');
}

/** USD per 1M tokens (at most six fraction digits) to integer pico-USD per token; both are the same number x 10^6. */
export function usdPerMillionToPicos(usdPerMillionTokens: string): Picos {
  return parseDecimal(usdPerMillionTokens, 6);
}

/** Pico- to nano-USD, rounded once, half to even: how an attempt is booked. */
export function picosToNanosHalfEven(picos: Picos): Nanos {
  const negative = picos < 0n;
  const magnitude = negative ? -picos : picos;
  let nanos = magnitude / PICOS_PER_NANO;
  const twice = (magnitude % PICOS_PER_NANO) * 2n;
  if (twice > PICOS_PER_NANO || (twice === PICOS_PER_NANO && nanos % 2n === 1n)) nanos += 1n;
  return negative ? -nanos : nanos;
}

/** Pico- to nano-USD, rounded up: how a hold is sized. Non-negative input. */
export function picosToNanosCeil(picos: Picos): Nanos {
  return (picos + PICOS_PER_NANO - 1n) / PICOS_PER_NANO;
}
