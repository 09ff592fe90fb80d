/** Microseconds. */
export interface Quantiles {
  p50Us: number;
  p99Us: number;
}

/** Durations of so many runs. */
export class Durations {
  private readonly ms: Float64Array;
  private count = 0;

  constructor(most: number) {
    this.ms = new Float64Array(most);
  }

  add(ms: number): void {
    this.ms[this.count++] = ms;
  }

  quantiles(): Quantiles {
    const sorted = this.ms.subarray(0, this.count).toSorted();
    const at = (share: number): number =>
      1_000 * sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
    return { p50Us: at(0.5), p99Us: at(0.99) };
  }
}
