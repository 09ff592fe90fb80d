import type { Basis, RateCard, UsageUnit } from '@meritorder/contracts';
import { PICOS_PER_NANO, type Nanos, type Picos } from '@meritorder/kernel';
import { compileCard, type CompiledRates } from './compiled-card.js';
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
  /** True where it is asked in a batch: that tier is billed and no other, where the price has it. */
  batchTierOnly?: boolean;
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
  const cash = line(price, dearestOf(price, 'cash', allows), allows);
  if (factorsOfPrice(price).fullIsCash) return { cash, full: cash };
  return { cash, full: line(price, dearestOf(price, 'full', allows), allows) };
}

/** An amount that many bounds are compared with. */
export interface ComparedNanos {
  readonly exact: Nanos;
  /** `Number(exact)` */
  readonly float: number;
}

/** Of a nano-USD, relative: what the sums of `boundExceeds` may be off by, with room to spare (each step errs by 2^-53). */
const FLOAT_ERROR = 1e-12;

/**
 * Whether the bound is above an amount: `boundNanos(boundOf(price, allows)[basis], maxTokens) > nanos`, and always the same
 * answer. Floating point gives it where it is sure; else the bound itself does.
 */
export function boundExceeds(
  price: Priced,
  allows: Allowed,
  basis: Basis,
  maxTokens: number,
  nanos: ComparedNanos,
): boolean {
  const d = dearestOf(price, basis, allows);
  let hasUnits = false;
  for (const _unit in allows.units) hasUnits = true;
  if (!hasUnits) {
    const fixed = d.inputFloat * allows.inputTokensBound + d.requestFloat;
    const about = fixed + d.perOutputTokenFloat * allows.choices * maxTokens;
    if (about * (1 - FLOAT_ERROR) > nanos.float * (1 + FLOAT_ERROR)) return true;
    // The fixed part is rounded up to a whole nano.
    if (about * (1 + FLOAT_ERROR) + 1 < nanos.float * (1 - FLOAT_ERROR)) return false;
  }
  return boundNanos(line(price, d, allows), maxTokens) > nanos.exact;
}

const UNIT_OF_MODALITY = {
  audio: ['inputAudioTokens', 'cacheReadAudioTokens', 'outputAudioTokens'],
  image: ['inputImageTokens', 'cacheReadImageTokens', 'outputImageTokens'],
  video: ['inputVideoTokens', 'cacheReadVideoTokens', 'outputVideoTokens'],
} as const satisfies Record<string, readonly UsageUnit[]>;
const MODALITY_BIT = { audio: 1, image: 2, video: 4 } as const;

/** The dearest rates of a card that requests of one shape can be charged. */
interface Dearest {
  readonly reachable: readonly CompiledRates[];
  /** Picos. */
  readonly input: Picos;
  readonly request: Picos;
  /** Rounded up, of one choice. */
  readonly perOutputTokenNanos: Nanos;
  /** The same in nano-USD, after the price's factors. */
  readonly inputFloat: number;
  readonly requestFloat: number;
  readonly perOutputTokenFloat: number;
}

/** By shape, the one that was asked for last beside the others: most requests have the same. */
interface OfCard {
  readonly thresholds: readonly number[];
  readonly byShape: Map<number, Dearest>;
  lastShape: number;
  last: Dearest | undefined;
}
const known = new WeakMap<Priced, Record<Basis, OfCard>>();

/** Remembered per price and shape: which context tiers are in reach, which tiers may be served, what is in and out. */
function dearestOf(price: Priced, basis: Basis, allows: Allowed): Dearest {
  let ofPrice = known.get(price);
  if (ofPrice === undefined) known.set(price, (ofPrice = { cash: ofCard(price.cash), full: ofCard(price.full) }));
  const own = ofPrice[basis];
  let shape = allows.standardTierOnly ? 1 : 0;
  if (allows.inputModalities) for (const m of allows.inputModalities) shape |= MODALITY_BIT[m] << 1;
  if (allows.outputModalities) for (const m of allows.outputModalities) shape |= MODALITY_BIT[m] << 4;
  if (allows.batchTierOnly) shape |= 1 << 7;
  for (const over of own.thresholds) if (allows.inputTokensBound > over) shape += 1 << 8;
  if (own.last !== undefined && own.lastShape === shape) return own.last;
  let dearest = own.byShape.get(shape);
  if (dearest === undefined) own.byShape.set(shape, (dearest = findDearest(price, price[basis], allows)));
  own.lastShape = shape;
  own.last = dearest;
  return dearest;
}

function ofCard(card: RateCard): OfCard {
  return { thresholds: compileCard(card).thresholds, byShape: new Map(), lastShape: 0, last: undefined };
}

function findDearest(price: Priced, card: RateCard, allows: Allowed): Dearest {
  const reachable = reachableRates(card, {
    inputTokensBound: allows.inputTokensBound,
    standardTierOnly: allows.standardTierOnly ?? false,
    batchTierOnly: allows.batchTierOnly ?? false,
  });
  const input = highest(reachable, (r) => [
    r.input,
    r.cacheRead,
    r.cacheWrite5m,
    r.cacheWrite1h,
    ...(allows.inputModalities ?? []).flatMap((m) => [r.unit[UNIT_OF_MODALITY[m][0]], r.unit[UNIT_OF_MODALITY[m][1]]]),
  ]);
  const output = highest(reachable, (r) => [
    r.output,
    r.reasoning,
    ...(allows.outputModalities ?? []).map((m) => r.unit[UNIT_OF_MODALITY[m][2]]),
  ]);
  const request = highest(reachable, (r) => [r.request]);
  const perOutputTokenNanos = toNanosCeil(price, output);
  const { account, exchange } = factorsOfPrice(price);
  let nanosPerPico = 1 / Number(PICOS_PER_NANO);
  for (const factor of [account, exchange])
    if (factor) nanosPerPico *= Number(factor.numerator) / Number(factor.denominator);
  return {
    reachable,
    input,
    request,
    perOutputTokenNanos,
    inputFloat: Number(input) * nanosPerPico,
    requestFloat: Number(request) * nanosPerPico,
    perOutputTokenFloat: Number(perOutputTokenNanos),
  };
}

function highest(rates: readonly CompiledRates[], of: (r: CompiledRates) => (Picos | undefined)[]): Picos {
  return rates.flatMap(of).reduce<Picos>((a, b) => (b !== undefined && b > a ? b : a), 0n);
}

function line(price: Priced, dearest: Dearest, allows: Allowed): BoundLine {
  let fixed = dearest.input * BigInt(allows.inputTokensBound) + dearest.request;
  let audioPicoHoursMs = 0n;
  for (const unit in allows.units) {
    const most = allows.units[unit as UsageUnit];
    if (most === undefined) continue;
    const rate = highest(dearest.reachable, (r) => [r.unit[unit as UsageUnit]]);
    if (unit === 'audioMilliseconds') audioPicoHoursMs += rate * BigInt(most);
    else fixed += rate * BigInt(most);
  }
  if (audioPicoHoursMs > 0n) fixed += ceil(audioPicoHoursMs, 3_600_000n);
  const { perOutputTokenNanos } = dearest;
  return {
    fixedNanos: toNanosCeil(price, fixed),
    perOutputTokenNanos: allows.choices === 1 ? perOutputTokenNanos : perOutputTokenNanos * BigInt(allows.choices),
  };
}

function toNanosCeil(price: Priced, picos: Picos): Nanos {
  const { account, exchange } = factorsOfPrice(price);
  if (account === undefined && exchange === undefined) return ceil(picos, PICOS_PER_NANO);
  let numerator = picos;
  let denominator = PICOS_PER_NANO;
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
