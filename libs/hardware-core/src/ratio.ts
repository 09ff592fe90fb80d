import { invariant, parseDecimal } from '@meritorder/kernel';

/** An exact fraction in lowest terms, the denominator above zero: costs stay exact until they are rounded once. */
export interface Ratio {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

export const ZERO: Ratio = { numerator: 0n, denominator: 1n };
export const ONE: Ratio = { numerator: 1n, denominator: 1n };

/** @throws InvariantError when the denominator is zero. */
export function ratio(numerator: bigint, denominator = 1n): Ratio {
  invariant(denominator !== 0n, 'a fraction has no zero below the line');
  const sign = denominator < 0n ? -1n : 1n;
  const divisor = sign * gcd(numerator < 0n ? -numerator : numerator, sign * denominator);
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

function gcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

const DIGITS = 12;

/** A number as it is written: 1.3 is 13/10, not the nearest double. At most twelve digits after the point. */
export function ratioOf(value: number): Ratio {
  invariant(Number.isFinite(value) && Math.abs(value) < 1e15, `${value} is not a number that can be exact`);
  const text = String(value);
  const plain = text.includes('e') || (text.split('.')[1]?.length ?? 0) > DIGITS ? value.toFixed(DIGITS) : text;
  return ratio(parseDecimal(plain, DIGITS), 10n ** BigInt(DIGITS));
}

export function plus(a: Ratio, b: Ratio): Ratio {
  return ratio(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator);
}

export function minus(a: Ratio, b: Ratio): Ratio {
  return ratio(a.numerator * b.denominator - b.numerator * a.denominator, a.denominator * b.denominator);
}

export function times(a: Ratio, b: Ratio): Ratio {
  return ratio(a.numerator * b.numerator, a.denominator * b.denominator);
}

/** @throws InvariantError when `b` is zero: whoever divides asks first. */
export function over(a: Ratio, b: Ratio): Ratio {
  return ratio(a.numerator * b.denominator, a.denominator * b.numerator);
}

/** Below zero, zero or above it as a is below, equal to or above b. */
export function compare(a: Ratio, b: Ratio): number {
  const difference = a.numerator * b.denominator - b.numerator * a.denominator;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export function isZero(a: Ratio): boolean {
  return a.numerator === 0n;
}

export function atLeast(a: Ratio, floor: Ratio): Ratio {
  return compare(a, floor) < 0 ? floor : a;
}

export function atMost(a: Ratio, ceiling: Ratio): Ratio {
  return compare(a, ceiling) > 0 ? ceiling : a;
}

export function sum(terms: Iterable<Ratio>): Ratio {
  let total = ZERO;
  for (const term of terms) total = plus(total, term);
  return total;
}

/** To the nearest integer, half to even: the one rounding between a rate and a booked amount. Monotone. */
export function roundHalfEven({ numerator, denominator }: Ratio): bigint {
  const magnitude = numerator < 0n ? -numerator : numerator;
  let whole = magnitude / denominator;
  const twice = (magnitude % denominator) * 2n;
  if (twice > denominator || (twice === denominator && (whole & 1n) === 1n)) whole += 1n;
  return numerator < 0n ? -whole : whole;
}

/** The nearest double, for what is shown or compared and never booked. */
export function toNumber({ numerator, denominator }: Ratio): number {
  const direct = Number(numerator) / Number(denominator);
  if (Number.isFinite(direct)) return direct;
  // Both are beyond a double; their quotient need not be.
  const shift = 10n ** 18n;
  return Number((numerator * shift) / denominator) / 1e18;
}
