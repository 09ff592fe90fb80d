import { invariant, sha256Hex } from '@meritorder/kernel';

/** 52 bits: every number of them is exact in a double. */
const DIGITS = 13;

/**
 * Where a customer stands among all, within [0, 1): the same in every process and on every day, and unrelated to where another
 * experiment puts them. `choose` of quality-core takes it as `draws.holdOut`, so that a customer is served by one policy only.
 *
 * @param experiment names the division; a new name divides anew
 */
export function holdOutDraw(experiment: string, org: string, customer: string): number {
  return Number.parseInt(sha256Hex(JSON.stringify([experiment, org, customer]), DIGITS), 16) / 16 ** DIGITS;
}

/** Whether the customer is in the group that is served as if nothing had been learned. @param share 0..1 */
export function isHeldOut(experiment: string, org: string, customer: string, share: number): boolean {
  invariant(share >= 0 && share <= 1, `a share of ${share} is not within 0..1`);
  return holdOutDraw(experiment, org, customer) < share;
}
