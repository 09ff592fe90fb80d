import type { Picos } from '@meritorder/kernel';

const SCIENTIFIC = /^([+-]?)(\d{1,40})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,3}))?$/;
const PICO_DIGITS = 12;

/**
 * USD per token as price tables write it (`1e-05`, `0.00015`, `2.9999900000000002e-06`) to integer pico-USD per token,
 * without floating point. Digits below a pico-USD ($0.000001 per 1M tokens) are rounded half to even: where they occur in
 * public tables they are the debris of somebody's binary arithmetic, not a price.
 * @throws RangeError when the text is not a number (`NaN`, `Infinity`, empty) or is negative: such a price is corrupt, and
 * nobody can confirm it.
 */
export function parseUsdPerToken(text: string): Picos {
  const match = SCIENTIFIC.exec(text.trim());
  if (!match) throw new RangeError(`"${text}" is not a price: write USD per token, for example 2.5e-06`);
  const whole = match[2] ?? '';
  const fraction = match[3] ?? '';
  const digits = BigInt(whole + fraction);
  if (match[1] === '-' && digits !== 0n) throw new RangeError(`"${text}" is negative: a price cannot be`);
  const shift = PICO_DIGITS + Number(match[4] ?? '0') - fraction.length;
  return shift >= 0 ? digits * 10n ** BigInt(shift) : divideHalfEven(digits, 10n ** BigInt(-shift));
}

function divideHalfEven(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  const twice = (dividend % divisor) * 2n;
  return twice > divisor || (twice === divisor && quotient % 2n === 1n) ? quotient + 1n : quotient;
}
