import { formatDecimal } from '@meritorder/kernel';

/** As many digits as say something of the largest of these amounts. */
export function digitsFor(nanos: readonly bigint[]): number {
  const most = nanos.map(absolute).reduce((a, b) => (a > b ? a : b), 0n);
  return most >= 100_000_000_000n ? 2 : most >= 1_000_000_000n ? 4 : 6;
}

/** Rounded, with commas between thousands. */
export function usd(nanos: bigint, digits: number): string {
  const unit = 10n ** BigInt(9 - digits);
  const half = nanos < 0n ? -unit / 2n : unit / 2n;
  const text = formatDecimal((nanos + half) / unit, digits);
  return text.replace(/\B(?=(\d{3})+\.)/g, ',');
}

export function absolute(value: bigint): bigint {
  return value < 0n ? -value : value;
}
