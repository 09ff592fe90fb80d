import type { RateCard, UsageUnit } from '@meritorder/contracts';
import { PICOS_PER_NANO, type Nanos, type Picos } from '@meritorder/kernel';
import type { CompiledRates } from './compiled-card.js';
import { factorsOfPrice, reachableRates, type Priced } from './rating.js';

/** An upper bound of a cost as a line: `fixedNanos + perOutputTokenNanos x maxTokens`, where maxTokens is of one choice. */
export interface BoundLine {
  fixedNanos: Nanos;
  perOutputTokenNanos: Nanos;
}
export interface Bound {
  cash: BoundLine;
  full: BoundLine;
}

/** The most that a request allows. */
export interface Allowed {
  /** Every input token, of whatever kind. */
  inputTokensBound: number;
  choices: number;
  /** The most of each unit that is not a token of the counts above: searches, runs, pages, citations. */
  units?: Partial<Record<UsageUnit, number>>;
  /** True where the caller named the standard tier, so that no other can be billed. */
  standardTierOnly?: boolean;
  /** Whether audio, images or video may be in the answer: their tokens are output tokens at their own rate. */
  outputModalities?: readonly ('audio' | 'image' | 'video')[];
  /** Whether they may be in the input. */
  inputModalities?: readonly ('audio' | 'image' | 'video')[];
}

/**
 * The largest cost an attempt can have: every input token at the dearest rate an input token can have (uncached, cache read,
 * cache write, of every long-context tier within reach, every time of day, every service tier that may be served), one request
 * fee, every unit at its most, every choice at its longest and dearest; each part rounded up.
 */
export function boundOf(price: Priced, allows: Allowed): Bound {
  return { cash: line(price, price.cash, allows), full: line(price, price.full, allows) };
}

const UNIT_OF_MODALITY = {
  audio: ['inputAudioTokens', 'cacheReadAudioTokens', 'outputAudioTokens'],
  image: ['inputImageTokens', 'cacheReadImageTokens', 'outputImageTokens'],
  video: ['inputVideoTokens', 'cacheReadVideoTokens', 'outputVideoTokens'],
} as const satisfies Record<string, readonly UsageUnit[]>;

function line(price: Priced, card: RateCard, allows: Allowed): BoundLine {
  const rates = reachableRates(card, {
    inputTokensBound: allows.inputTokensBound,
    standardTierOnly: allows.standardTierOnly ?? false,
  });
  const dearest = (of: (r: CompiledRates) => (Picos | undefined)[]): Picos =>
    rates.flatMap(of).reduce<Picos>((a, b) => (b !== undefined && b > a ? b : a), 0n);
  const input = dearest((r) => [
    r.input,
    r.cacheRead,
    r.cacheWrite5m,
    r.cacheWrite1h,
    ...(allows.inputModalities ?? []).flatMap((m) => [r.unit[UNIT_OF_MODALITY[m][0]], r.unit[UNIT_OF_MODALITY[m][1]]]),
  ]);
  const output = dearest((r) => [
    r.output,
    r.reasoning,
    ...(allows.outputModalities ?? []).map((m) => r.unit[UNIT_OF_MODALITY[m][2]]),
  ]);
  let fixed = input * BigInt(allows.inputTokensBound) + dearest((r) => [r.request]);
  let audioPicoHoursMs = 0n;
  for (const [unit, most] of Object.entries(allows.units ?? {})) {
    const rate = dearest((r) => [r.unit[unit as UsageUnit]]);
    if (unit === 'audioMilliseconds') audioPicoHoursMs += rate * BigInt(most);
    else fixed += rate * BigInt(most);
  }
  fixed += ceil(audioPicoHoursMs, 3_600_000n);
  return {
    fixedNanos: toNanosCeil(price, fixed),
    perOutputTokenNanos: toNanosCeil(price, output) * BigInt(allows.choices),
  };
}

function toNanosCeil(price: Priced, picos: Picos): Nanos {
  let numerator = picos;
  let denominator = PICOS_PER_NANO;
  const { account, exchange } = factorsOfPrice(price);
  for (const factor of [account, exchange]) {
    if (!factor) continue;
    numerator *= factor.numerator;
    denominator *= factor.denominator;
  }
  return ceil(numerator, denominator);
}

function ceil(numerator: bigint, denominator: bigint): bigint {
  return (numerator + denominator - 1n) / denominator;
}

export function boundNanos(line: BoundLine, maxTokens: number): Nanos {
  return line.fixedNanos + line.perOutputTokenNanos * BigInt(maxTokens);
}

/** The larger of two bounds in every part: for a request that either of two prices may be charged for. */
export function boundOfEither(a: Bound, b: Bound): Bound {
  const either = (x: BoundLine, y: BoundLine): BoundLine => ({
    fixedNanos: x.fixedNanos > y.fixedNanos ? x.fixedNanos : y.fixedNanos,
    perOutputTokenNanos: x.perOutputTokenNanos > y.perOutputTokenNanos ? x.perOutputTokenNanos : y.perOutputTokenNanos,
  });
  return { cash: either(a.cash, b.cash), full: either(a.full, b.full) };
}
