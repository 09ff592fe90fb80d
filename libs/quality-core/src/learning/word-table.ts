import { WORD_BUCKETS } from '../prompt/prompt-features.js';

/**
 * Weights of hashed words, of all models of an org, bucket by bucket: a prompt's buckets are read for every model in turn, so that
 * what lies together is in the processor's cache when the next model asks. Model by model, most reads of a decision among 50
 * would miss it.
 */
export class WordTable {
  /** WORD_BUCKETS rows of `stride`. */
  weights: Float32Array;
  private readonly free: number[] = [];
  private used = 0;

  /** @param stride columns there is room for; it grows */
  constructor(public stride = 1) {
    this.weights = new Float32Array(WORD_BUCKETS * stride);
  }

  /** @returns a column, all zero */
  take(): number {
    const given = this.free.pop();
    if (given !== undefined) return given;
    if (this.used === this.stride) this.widen(2 * this.stride);
    return this.used++;
  }

  giveBack(column: number): void {
    for (let at = column; at < this.weights.length; at += this.stride) this.weights[at] = 0;
    this.free.push(column);
  }

  private widen(stride: number): void {
    const wider = new Float32Array(WORD_BUCKETS * stride);
    for (let bucket = 0; bucket < WORD_BUCKETS; bucket++)
      wider.set(this.weights.subarray(bucket * this.stride, (bucket + 1) * this.stride), bucket * stride);
    this.weights = wider;
    this.stride = stride;
  }
}
