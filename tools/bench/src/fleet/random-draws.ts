import type { ReplicaShape } from '@meritorder/fleet-core';

export function exponential(random: () => number, mean: number): number {
  return -mean * Math.log(1 - random());
}

/** A standard normal number (Box and Muller 1958). */
export function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** How many are in a steady birth-death queue at an instant: so a run that begins with as many needs no warm-up. */
export function steadyCount(random: () => number, shape: ReplicaShape, arrivalsPerSecond: number): number {
  const chances = steadyChances(shape, arrivalsPerSecond);
  let left = random();
  for (let n = 0; n < chances.length; n++) {
    left -= chances[n]!;
    if (left < 0) return n;
  }
  // Beyond the slots, each further one is as likely as the one before times the load.
  const { capacity, completionsPerSecond: m } = shape;
  const load = arrivalsPerSecond / m[capacity]!;
  return capacity + Math.floor(Math.log(1 - random()) / Math.log(load));
}

/**
 * Chances of none to `capacity - 1` in the system, the rest is that of `capacity` and more. The birth-death chain in balance: n and
 * n + 1 are crossed as often up as down.
 */
export function steadyChances(
  { capacity, completionsPerSecond: m }: ReplicaShape,
  arrivalsPerSecond: number,
): number[] {
  const load = arrivalsPerSecond / m[capacity]!;
  const weights = [1];
  for (let n = 1; n <= capacity; n++) weights.push((weights[n - 1]! * arrivalsPerSecond) / m[n]!);
  const beyond = weights[capacity]! / (1 - load);
  const total = weights.slice(0, capacity).reduce((a, b) => a + b, 0) + beyond;
  return weights.slice(0, capacity).map((w) => w / total);
}
