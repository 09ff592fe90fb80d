import { invariant } from '@meritorder/kernel';
import { normalAbove } from '../statistics/normal.js';
import type { OrgConversion } from './segments.js';
import { liftOfQuality } from './slope.js';
import { answeredOf, trialsOf, type Trials } from './trials.js';

/** What the operator says of conversions before any is learned, and how many requests that counts as. */
export interface ConversionPrior {
  /** Above 0, below 1. */
  readonly conversion: number;
  readonly trials: number;
}

/** Nothing said: one conversion in 50 requests, soon overruled. No data chose it. */
export const UNKNOWN_CONVERSION: ConversionPrior = { conversion: 0.02, trials: 50 };

/**
 * How far segments differ from the segment above, and backends from their segment, as conversions that the more general rate
 * counts as: the deviation is 1 / sqrt(these) of the rate, so half of it for segments, a fifth for backends. No data chose them.
 */
const SEGMENT_CONVERSIONS = 4;
const BACKEND_CONVERSIONS = 25;
/**
 * Conversions that a backend's own trials must be expected to have had: then they alone know its rate to a quarter. More of them
 * where it is open how ripe they are.
 */
const ENOUGH_CONVERSIONS = 16;
/** And so much of what was answered must be ripe: a rate that rests on what is still to come says nothing by itself. */
const ENOUGH_RIPE_SHARE = 0.5;
/** A backend is never expected to convert more than so many times as often as its segment, or less than one in so many. */
const MOST_LIFT = 4;
const LEAST_RATE = 1e-6;

/** A conversion that is expected. */
export interface ConversionPrediction {
  /** P(conversion | segment, backend), 0..1: the mean of the posterior. */
  readonly conversion: number;
  /** Of that mean: what Thompson sampling draws by. */
  readonly variance: number;
  /** Ripe, decayed requests of this very segment and backend; 0: what is known is of others. */
  readonly trials: number;
  /** Whether these trials say enough by themselves; otherwise say "not enough data". */
  readonly enough: boolean;
}

/** A rate, and its variance as a share of its square. */
interface Rate {
  readonly rate: number;
  readonly spread: number;
}

/**
 * What the org's outcomes say of a request: a beta posterior of segment and backend. Its prior is the segment's own rate, times
 * the backend's lift over the rate in the segment above; for the org as a whole the lift that the backend's quality promises by
 * the pooled slope. A segment's rate is shrunken to that of the segment above. Pure; as of `broughtForwardMs`.
 *
 * @param segment from general to specific; where nothing is known, the most specific that is known speaks
 * @param known the operator's prior, and the quality expected of this backend's answer, 0..1
 * @throws InvariantError unless the prior is a rate within 0..1, both excluded, of at least one trial
 */
export function predictConversion(
  state: OrgConversion,
  segment: readonly string[],
  backend: string,
  known: { readonly prior?: ConversionPrior; readonly quality?: number } = {},
): ConversionPrediction {
  let base = baseOf(known.prior);
  const promised = liftOfQuality(state, known.quality);
  let lift: Rate = { rate: withinLift(promised.lift), spread: promised.variance };
  let own: Rate & { readonly kept: number } = { ...base, kept: 1 };
  let cell: Trials | undefined;
  for (const [level, name] of ['', ...segment].entries()) {
    const here = state.segments.get(name);
    base = segmentRate(here?.all, base, level === 0 ? (known.prior ?? UNKNOWN_CONVERSION).trials : undefined);
    cell = here?.backends.get(backend);
    own = backendRate(cell, base, lift);
    lift = { rate: withinLift(own.rate / base.rate), spread: own.spread };
  }
  const trials = trialsOf(cell);
  return {
    conversion: own.rate,
    // What is open about the backend, and about the segment as far as the backend's own trials do not say.
    variance: own.rate ** 2 * (own.spread + own.kept ** 2 * base.spread),
    trials,
    enough: isEnough(cell, own.rate),
  };
}

/** The rate of a segment over all backends: what is expected of a request that has not been routed yet. */
export function predictSegment(
  state: OrgConversion,
  segment: readonly string[],
  prior: ConversionPrior = UNKNOWN_CONVERSION,
): ConversionPrediction {
  let base = baseOf(prior);
  let all: Trials | undefined;
  for (const [level, name] of ['', ...segment].entries()) {
    all = state.segments.get(name)?.all;
    base = segmentRate(all, base, level === 0 ? prior.trials : undefined);
  }
  const trials = trialsOf(all);
  return {
    conversion: base.rate,
    variance: base.rate ** 2 * base.spread,
    trials,
    enough: isEnough(all, base.rate),
  };
}

function isEnough(own: Trials | undefined, rate: number): boolean {
  const trials = trialsOf(own);
  if (own === undefined || trials < ENOUGH_RIPE_SHARE * answeredOf(own)) return false;
  // Variances as shares of the rate's square: that of a count, and of how ripe it is.
  return 1 / (trials * rate) + own.ripeSpread <= 1 / ENOUGH_CONVERSIONS;
}

function baseOf({ conversion, trials }: ConversionPrior = UNKNOWN_CONVERSION): Rate {
  invariant(conversion > 0 && conversion < 1, `a prior conversion of ${conversion} is not within 0..1`);
  invariant(trials >= 1 && Number.isFinite(trials), `a prior of ${trials} trials is below 1`);
  return { rate: conversion, spread: 0 };
}

function segmentRate(all: Trials | undefined, above: Rate, priorTrials: number | undefined): Rate {
  const trials = priorTrials ?? trialsAs(SEGMENT_CONVERSIONS, above.rate);
  const { rate, noise, kept } = posterior(all, above.rate, trials);
  return { rate, spread: noise / rate ** 2 + kept ** 2 * above.spread };
}

function backendRate(own: Trials | undefined, base: Rate, lift: Rate): Rate & { readonly kept: number } {
  const expected = withinRate(base.rate * lift.rate);
  const { rate, noise, kept } = posterior(own, expected, trialsAs(BACKEND_CONVERSIONS, expected));
  return { rate, spread: noise / rate ** 2 + kept ** 2 * lift.spread, kept };
}

/**
 * The mean of a beta posterior, its variance, and the share of the prior in the mean. Twice the ripe requests make half the rate
 * as far as it is not the prior's, so what is open about how ripe they are is open about the rate.
 */
function posterior(own: Trials | undefined, expected: number, priorTrials: number) {
  const total = trialsOf(own) + priorTrials;
  const rate = withinRate(((own?.conversions ?? 0) + priorTrials * expected) / total);
  const kept = priorTrials / total;
  const unripeness = rate ** 2 * (1 - kept) ** 2 * (own?.ripeSpread ?? 0);
  return { rate, noise: (rate * (1 - rate)) / (total + 1) + unripeness, kept };
}

/** The trials of a beta distribution of that mean whose deviation is 1 / sqrt(conversions) of it. */
function trialsAs(conversions: number, rate: number): number {
  return Math.max(2, (conversions * (1 - rate)) / rate - 1);
}

const withinRate = (rate: number) => Math.min(1 - LEAST_RATE, Math.max(LEAST_RATE, rate));
const withinLift = (lift: number) => Math.min(MOST_LIFT, Math.max(1 / MOST_LIFT, lift));

/**
 * Between which rates the conversion lies with the chance `share`: normal on the logarithm of the odds, since rates are skewed
 * near 0.
 */
export function conversionInterval(
  { conversion, variance }: Pick<ConversionPrediction, 'conversion' | 'variance'>,
  share = 0.95,
): { readonly low: number; readonly high: number } {
  const odds = Math.log(conversion / (1 - conversion));
  const reach = (normalAbove((1 - share) / 2) * Math.sqrt(variance)) / (conversion * (1 - conversion));
  const rateAt = (logOdds: number) => 1 / (1 + Math.exp(-logOdds));
  return { low: rateAt(odds - reach), high: rateAt(odds + reach) };
}
