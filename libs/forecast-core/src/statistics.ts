/** The middle of the values, 0 of none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The mean of the values, 0 of none. */
export function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A mean that `strength` observations of a prior belief take part in. */
export function shrunken(sum: number, count: number, prior: number, strength: number): number {
  return (sum + strength * prior) / (count + strength);
}

export interface Weighted {
  readonly value: number;
  readonly weight: number;
}

/** Values by size, with those of no weight left out. */
export function byValue(values: readonly Weighted[]): Weighted[] {
  return values.filter(({ weight }) => weight > 0).sort((a, b) => a.value - b.value);
}

/** The value below which a share of the weight lies, between the middles of the two nearest; of sorted values, 0 of none. */
export function quantile(sorted: readonly Weighted[], share: number): number {
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  let below = 0;
  let last: { at: number; value: number } | undefined;
  for (const { value, weight } of sorted) {
    const at = (below + weight / 2) / total;
    if (at >= share) return last ? last.value + ((share - last.at) / (at - last.at)) * (value - last.value) : value;
    last = { at, value };
    below += weight;
  }
  return last?.value ?? 0;
}

/** The share of the weight above a value, straight between the middles of the two nearest; of sorted values. */
export function shareAbove(sorted: readonly Weighted[], value: number): number {
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  let below = 0;
  let last: { at: number; value: number } | undefined;
  for (const next of sorted) {
    const at = (below + next.weight / 2) / total;
    if (next.value > value) {
      if (!last) return 1;
      return 1 - (last.at + ((value - last.value) / (next.value - last.value)) * (at - last.at));
    }
    last = { at, value: next.value };
    below += next.weight;
  }
  return 0;
}
