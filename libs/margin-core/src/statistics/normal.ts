import { invariant } from '@meritorder/kernel';

/** P(Z > z) of a standard normal, to 1e-7: Abramowitz and Stegun 26.2.17. */
export function normalTail(z: number): number {
  if (z < 0) return 1 - normalTail(-z);
  const t = 1 / (1 + 0.2316419 * z);
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  return density * t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
}

/** Beyond this the tail is 1e-15: nobody states such a level. */
const FARTHEST = 8;

/**
 * The z above which a standard normal lies with the probability `tail`; found by halving, so as exact as the tail.
 *
 * @throws InvariantError unless the tail is within 1e-6 .. 1 - 1e-6
 */
export function normalAbove(tail: number): number {
  invariant(tail >= 1e-6 && tail <= 1 - 1e-6, `a tail of ${tail} is not within 0..1`);
  let low = -FARTHEST;
  let high = FARTHEST;
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (normalTail(middle) > tail) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
