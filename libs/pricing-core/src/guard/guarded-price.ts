import type { Picos } from '@meritorder/kernel';

/**
 * The name of a rate: `input`, `output`, `cacheRead`, `cacheWrite5m`, `cacheWrite1h`, `reasoning`, a modality
 * (`inputAudioTokens`), a tier (`inputAbove200k`, `outputBatch`), or a fee (`request`, `webSearches`).
 */
export type RateName = string;

/**
 * The rates of one model as the guard compares them. A token rate is in pico-USD per token (USD per 1M tokens x 10^6),
 * a fee in pico-USD each. A rate that is absent is unknown, which is not the same as zero.
 */
export interface GuardedPrice {
  /** As its source names it, for example `azure/gpt-4o-2024-11-20`. */
  readonly model: string;
  /** Who sells it. When absent, the first part of a model name with a slash. */
  readonly provider?: string;
  readonly rates: Readonly<Partial<Record<RateName, Picos>>>;
}

export type GuardCode =
  | 'no-price'
  | 'rate-missing'
  | 'rate-dropped'
  | 'zero-added'
  | 'zero-from-price'
  | 'absurd'
  | 'unusual'
  | 'jump'
  | 'repair'
  | 'ratio'
  | 'cache-ratio'
  | 'tier-ratio'
  | 'family'
  | 'edition'
  | 'line'
  | 'provider';

/** One finding, written for the person who decides. */
export interface GuardReason {
  code: GuardCode;
  /** The rate that it is about; absent when it is about the whole price. */
  rate?: RateName;
  message: string;
}

export interface GuardVerdict {
  verdict: 'apply' | 'hold';
  /** Why it is held; empty when it applies. */
  reasons: GuardReason[];
}

export interface GuardOptions {
  /**
   * Somebody wrote this zero as a zero (an operator's own local model, a free offer that they chose): a new price of 0
   * applies. It does not excuse a price that falls to 0. A function says so rate by rate.
   */
  zeroIsExplicit?: boolean | ((rate: RateName) => boolean);
  /** Largest factor, up or down, between a rate in force and its successor that applies unasked. 10 unless said. */
  maxFactor?: number;
}
