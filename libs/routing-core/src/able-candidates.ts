import type { BackendConfig, Basis, Capability, PriceVersion, Usage, UsageUnit } from '@meritorder/contracts';
import { nanosToUsd, type Nanos } from '@meritorder/kernel';
import {
  boundExceeds,
  boundNanos,
  boundOf,
  boundOfEither,
  expectedCost,
  type Allowed,
  type Bound,
  type ComparedNanos,
  type ExpectedCost,
  type Served,
} from '@meritorder/pricing-core';
import { isSentChat, isTranslated, servesKind, type Modality, type Requirements } from './requirements.js';

/** One backend as the router sees it when it decides. */
export interface BackendView {
  backend: BackendConfig;
  price: PriceVersion | undefined;
  /** Prices in force of other models that may answer in its place; the bound covers them too. */
  otherPrices?: readonly PriceVersion[];
  /** Live workers with room; 0 when none is heard of. */
  workersWithRoom: number;
  workersAlive: number;
  breakerClosed: boolean;
  /** For how long it is not; undefined: nobody knows. */
  cooling?: { quota: boolean; seconds: number } | undefined;
  /** Of own hardware: the org that asks has its part of the slots, and others want theirs. */
  overShare?: boolean;
}

/** What is expected of one backend for a request, in tokens. Expectations score, bounds reserve. */
export interface BackendEstimate {
  /** All input, whatever its kind. */
  inputTokensExpected: number;
  /** Those of it that must fit the context together: of embeddings the largest input. Absent: all. */
  contextTokensExpected?: number | undefined;
  /** Of these, read from the provider's prompt cache; and written to it. */
  cacheReadTokensExpected: number;
  cacheWriteTokensExpected: number;
  /** The most input tokens the request can have; undefined: it has a part without a bound. */
  inputTokensBound: number | undefined;
  /** Which part that is, and what to do about it. */
  inputUnbounded?: string | undefined;
  /** What the input is trusted to stay under; never above its bound. */
  inputTokensUpper: number;
  /** Of one choice. */
  outputTokensExpected: number;
  /** Lengths of one choice that 1 of 20, or of 100, exceeds. */
  outputTokensP95: number;
  outputTokensP99: number;
  /** What is expected of answers that are cut at so many tokens; absent: `outputTokensExpected` is of answers that nothing cuts. */
  outputLengths?: { meanUpTo(maxTokens: number): number } | undefined;
}

export interface Able {
  backend: BackendConfig;
  price: PriceVersion;
  otherPrices: readonly PriceVersion[];
  estimate: BackendEstimate;
  /** Worked out when it is asked for: most candidates are never reserved for. */
  readonly bound: Bound;
  /** The same with the input at what it is trusted to stay under. */
  readonly trustedBound: Bound;
  /** Whether the bound for `maxTokens` is above an amount, without making the bound where that is certain. */
  boundExceeds(basis: Basis, nanos: ComparedNanos): boolean;
  /** Output tokens of one choice: what is asked for, and the least that is useful. */
  maxTokens: number;
  minTokens: number;
  /** What the caller allows, where the backend gives less and none of the able gives it. */
  limitTokens?: number | undefined;
  /** Output tokens of one choice that it is compared at, where it would cut what another gives; absent: what is expected of it. */
  comparedTokens?: number | undefined;
  /** Estimates for a score, USD. */
  expectedCashUsd: number;
  expectedFullUsd: number;
  /** What the request adds: of own hardware energy and wear, of a cloud backend its cash. */
  expectedMarginalUsd: number;
}

export type ExclusionCode =
  /** What it is cannot serve what the request is, under any policy. */
  | 'unable'
  /** The policy does not let it. */
  | 'not-allowed'
  | 'unpriced'
  | 'unavailable'
  | 'busy'
  /** It would cut the answer before the limit that the caller named, and another that is able would not. */
  | 'too-short'
  | 'above-cap'
  | 'below-floor'
  | 'too-slow';
export interface Excluded {
  backend: BackendConfig;
  code: ExclusionCode;
  why: string;
  /** After which it may be another answer; undefined: nobody knows. */
  retryAfterSeconds?: number;
  /** It is the provider's quota that is used up. */
  quota?: boolean;
  /** Its context has no room for the prompt; all else it could do. */
  tooLong?: boolean;
  /** Of `unpriced`: its price lacks what the request asks for by this field, and what to add to the price. */
  lacksRate?: { param: string; add: string };
  /** Of `above-cap`: what it may cost at least. */
  leastNanos?: Nanos;
}

/** Below this many output tokens an answer is of little use, so a hold is not clamped further. */
const LEAST_USEFUL_OUTPUT_TOKENS = 64;

/**
 * Filters out what cannot serve the request, and says why; the others with their expected and largest costs, in the order given,
 * but that those that would cut an answer come after those that would not.
 */
export function ableCandidates(
  views: readonly BackendView[],
  requirements: Requirements,
  estimateOf: (backend: BackendConfig) => BackendEstimate,
  maxCostNanos: Nanos | undefined,
  atMs: number,
): { able: Able[]; excluded: Excluded[] } {
  const able: Candidate[] = [];
  const excluded: Excluded[] = [];
  const served = { atMs };
  const inBatch = { atMs, tier: 'batch' } as const;
  for (const view of views) {
    const servedThen = view.backend.batch ? inBatch : served;
    const outcome = consider(view, requirements, estimateOf, servedThen);
    const capped = outcome instanceof Candidate && maxCostNanos !== undefined ? cap(outcome, maxCostNanos) : outcome;
    if (capped instanceof Candidate) able.push(capped);
    else excluded.push(capped);
  }
  if (able.length === 0) sayWhereContextDecides(excluded);
  return wholeAnswers(able, excluded, requirements);
}

/**
 * A backend that cuts an answer is not cheaper for it. Where the caller named a limit, it is out as long as another gives that;
 * else it is compared at the length that the answer has where it is longest.
 */
function wholeAnswers(
  able: Candidate[],
  excluded: Excluded[],
  { maxTokens: limit, choices }: Requirements,
): { able: Able[]; excluded: Excluded[] } {
  let [least, most] = [Infinity, 0];
  for (const { givenTokens } of able) {
    if (givenTokens < least) least = givenTokens;
    if (givenTokens > most) most = givenTokens;
  }
  if (limit !== undefined && most < limit) for (const candidate of able) candidate.limitTokens = limit;
  if (least >= most) return { able, excluded };
  const whole = able.filter((c) => c.givenTokens === most);
  const cut = able.filter((c) => c.givenTokens < most);
  if (limit === undefined || most < limit) {
    for (const candidate of cut) candidate.compareAt(most, choices);
    return { able: [...whole, ...cut], excluded };
  }
  const tooShort = cut.map(({ backend, givenTokens }): Excluded => {
    const why = `gives ${givenTokens} output tokens at most; the request allows ${limit}, which another gives`;
    return { backend, code: 'too-short', why };
  });
  return { able: whole, excluded: [...excluded, ...tooShort] };
}

/**
 * OpenAI's words, by which clients know a prompt that is to be shortened (LangChain raises its ContextOverflowError by them): only
 * where that would help, since whoever could do all else has no room for it.
 */
function sayWhereContextDecides(excluded: Excluded[]): void {
  if (!excluded.every(({ code }) => code === 'unable')) return;
  for (const one of excluded) if (one.tooLong) one.why += ', its maximum context length';
}

function consider(
  view: BackendView,
  requirements: Requirements,
  estimateOf: (backend: BackendConfig) => BackendEstimate,
  served: Served,
): Candidate | Excluded {
  const { backend, price } = view;
  const { kind, choices, uncarried } = requirements;
  if (!servesKind(backend, kind)) return { backend, code: 'unable', why: `does not serve ${kind}` };
  if (uncarried && isTranslated(backend, kind))
    return { backend, code: 'unable', why: `is sent a chat completion, which cannot say ${uncarried}` };
  const unsaid = isSentChat(backend, kind) ? requirements.uncarriedBy?.(backend.protocol) : undefined;
  if (unsaid) return { backend, code: 'unable', why: `speaks ${backend.protocol}, which cannot say ${unsaid}` };
  const lacking = missingOf(requirements.capabilities, backend.capabilities);
  if (lacking) return { backend, code: 'unable', why: `lacks ${lacking.join(', ')}` };
  if (requirements.unbounded) return { backend, code: 'unable', why: `${requirements.unbounded} has no cost bound` };
  const unbatched = backend.batch && unbatchedOf(backend.batch, requirements);
  if (unbatched) return { backend, code: 'unable', why: unbatched };
  const estimate = estimateOf(backend);
  const contextLeft = Math.floor(backend.contextTokens - inContext(estimate));
  const toolInputTokens = requirements.toolsAddInput ? backend.maxToolInputTokens : 0;
  if (contextLeft < 1) return { backend, code: 'unable', why: tooLong(backend, estimate), tooLong: true };
  const unable = unboundedOf(backend, estimate, requirements);
  if (unable !== undefined) return { backend, code: 'unable', why: unable };
  if (!price) return { backend, code: 'unpriced', why: 'has no price in force' };
  const unpriced = unpricedOf(price, backend.batch ? { ...requirements, tier: 'batch' } : requirements);
  if (unpriced) return { backend, code: 'unpriced', ...unpriced };
  if (view.workersAlive === 0) return { backend, code: 'unavailable', why: 'no live worker' };
  if (!view.breakerClosed) return coolingDown(view);
  if (view.workersWithRoom === 0) return { backend, code: 'busy', why: 'all workers are busy' };
  if (view.overShare)
    return { backend, code: 'busy', why: 'the org has its part of the slots, and others want theirs' };

  const asked = Math.min(requirements.maxTokens ?? backend.maxOutputTokens, backend.maxOutputTokens);
  const room = requirements.maxTokens === undefined ? roomForOutput(backend, estimate, contextLeft) : contextLeft;
  // Embeddings have no output.
  const maxTokens = asked === 0 ? 0 : Math.max(1, Math.min(asked, room));
  if (maxTokens < requirements.leastTokens)
    return {
      backend,
      code: 'unable',
      why: `leaves ${maxTokens} output tokens; the request asks for ${requirements.leastTokens} at least`,
    };
  return new Candidate(
    backend,
    price,
    view.otherPrices ?? NO_PRICES,
    estimate,
    requirements,
    toolInputTokens as number,
    maxTokens,
    served,
    expectedCost(price, expectedUsage(estimate, Math.min(estimate.outputTokensExpected, maxTokens), choices), served),
  );
}

/**
 * Of a request that names no limit. Engines refuse a prompt that has more tokens than was thought when the output fills all the
 * rest, so that is left by what the input is trusted to stay under; where that leaves no useful answer, by what is expected.
 */
function roomForOutput({ contextTokens }: BackendConfig, { inputTokensUpper }: BackendEstimate, left: number): number {
  const trusted = Math.floor(contextTokens - inputTokensUpper);
  return trusted < LEAST_USEFUL_OUTPUT_TOKENS ? Math.min(left, LEAST_USEFUL_OUTPUT_TOKENS) : trusted;
}

const NO_PRICES: readonly PriceVersion[] = [];

/** One of a class, since a decision makes one for every backend: what only few are asked for is worked out when they are. */
class Candidate implements Able {
  minTokens: number;
  limitTokens: number | undefined = undefined;
  comparedTokens: number | undefined = undefined;
  expectedCashUsd: number;
  expectedFullUsd: number;
  expectedMarginalUsd: number;
  /** Output tokens of one choice that the backend gives, whatever the caller will pay for. */
  readonly givenTokens: number;
  private knownBound: Bound | undefined = undefined;
  private knownTrustedBound: Bound | undefined = undefined;

  constructor(
    readonly backend: BackendConfig,
    readonly price: PriceVersion,
    readonly otherPrices: readonly PriceVersion[],
    readonly estimate: BackendEstimate,
    private readonly requirements: Requirements,
    private readonly toolInputTokens: number,
    public maxTokens: number,
    private readonly served: Served,
    expected: ExpectedCost,
  ) {
    this.givenTokens = maxTokens;
    this.minTokens = Math.max(requirements.leastTokens, Math.min(maxTokens, LEAST_USEFUL_OUTPUT_TOKENS));
    this.expectedCashUsd = expected.cashUsd;
    this.expectedFullUsd = expected.fullUsd;
    this.expectedMarginalUsd = expected.marginalUsd;
  }

  /** @param maxTokens where another cuts an answer of the same request, further than this one */
  compareAt(maxTokens: number, choices: number): void {
    const { price, estimate, served } = this;
    const tokens = Math.min(estimate.outputLengths?.meanUpTo(maxTokens) ?? estimate.outputTokensExpected, maxTokens);
    const expected = expectedCost(price, expectedUsage(estimate, tokens, choices), served);
    this.comparedTokens = tokens;
    this.expectedCashUsd = expected.cashUsd;
    this.expectedFullUsd = expected.fullUsd;
    this.expectedMarginalUsd = expected.marginalUsd;
  }

  get bound(): Bound {
    return (this.knownBound ??= this.boundOfInput(this.inputTokensBound));
  }

  get trustedBound(): Bound {
    const { inputTokensUpper } = this.estimate;
    return (this.knownTrustedBound ??=
      inputTokensUpper < this.inputTokensBound ? this.boundOfInput(inputTokensUpper) : this.bound);
  }

  boundExceeds(basis: Basis, nanos: ComparedNanos): boolean {
    if (this.otherPrices.length > 0) return boundNanos(this.bound[basis], this.maxTokens) > nanos.exact;
    return boundExceeds(this.price, this.allowed(this.inputTokensBound), basis, this.maxTokens, nanos);
  }

  /** Nothing without one is able. */
  private get inputTokensBound(): number {
    return this.estimate.inputTokensBound as number;
  }

  private boundOfInput(inputTokens: number): Bound {
    const allowed = this.allowed(inputTokens);
    let bound = boundOf(this.price, allowed);
    for (const other of this.otherPrices) bound = boundOfEither(bound, boundOf(other, allowed));
    return bound;
  }

  private allowed(inputTokens: number): Allowed {
    const { choices, standardTierOnly, inputModalities, outputModalities } = this.requirements;
    const units = this.backend.unitBounds ?? {};
    const inputTokensBound = inputTokens + this.toolInputTokens;
    const batchTierOnly = this.backend.batch !== undefined;
    return { inputTokensBound, choices, units, standardTierOnly, batchTierOnly, inputModalities, outputModalities };
  }
}

/** Undefined: nothing is missing. */
function missingOf(needed: readonly Capability[], given: readonly Capability[]): Capability[] | undefined {
  let missing: Capability[] | undefined;
  for (const capability of needed) if (!given.includes(capability)) (missing ??= []).push(capability);
  return missing;
}

/** Why a request cannot be in a batch; undefined: it can. */
function unbatchedOf(
  { completionSeconds }: NonNullable<BackendConfig['batch']>,
  { batchWithinMs, tier, standardTierOnly }: Requirements,
): string | undefined {
  if (batchWithinMs === undefined) return 'is asked in batches, which is for jobs that were in none yet';
  if (batchWithinMs < completionSeconds * 1_000)
    return `is asked in batches, which take up to ${completionSeconds} s; the deadline of the job is in ${Math.floor(batchWithinMs / 1_000)} s`;
  if (standardTierOnly || (tier !== undefined && tier !== 'batch'))
    return 'is asked in batches; the request names another service tier';
  return undefined;
}

function coolingDown({ backend, cooling }: BackendView): Excluded {
  if (cooling === undefined) return { backend, code: 'unavailable', why: 'cooling down after failures' };
  const { quota, seconds } = cooling;
  const retryAfterSeconds = Math.max(1, Math.ceil(seconds));
  const why = quota ? `out of quota at its provider for ${retryAfterSeconds} s` : 'cooling down after failures';
  return { backend, code: 'unavailable', why, retryAfterSeconds, quota };
}

function inContext({ contextTokensExpected, inputTokensExpected }: BackendEstimate): number {
  return contextTokensExpected ?? inputTokensExpected;
}

function tooLong({ contextTokens }: BackendConfig, estimate: BackendEstimate): string {
  const tokens = Math.ceil(inContext(estimate));
  const what = tokens < estimate.inputTokensExpected ? 'tokens of one input' : 'input tokens';
  return `about ${tokens} ${what} exceed its context of ${contextTokens}`;
}

/** What may cost without a bound; undefined: nothing. */
function unboundedOf(
  backend: BackendConfig,
  { inputTokensBound, inputUnbounded }: BackendEstimate,
  { units, toolsAddInput }: Requirements,
): string | undefined {
  if (inputTokensBound === undefined) return inputUnbounded ?? 'the input has parts without a cost bound';
  if (!toolsAddInput) return undefined;
  const unbounded = units.filter((unit) => backend.unitBounds?.[unit] === undefined);
  if (unbounded.length > 0)
    return `${unbounded.join(', ')} may cost without a bound; add unitBounds: { ${unbounded[0]}: ... }`;
  if (backend.maxToolInputTokens === undefined)
    return "what the provider's tools fetch is billed as input without a bound; add maxToolInputTokens";
  return undefined;
}

/** What the request names and the price does not have: it would be billed at a rate that nobody knows. */
function unpricedOf(
  { cash }: PriceVersion,
  { tier, outputModalities }: Requirements,
): Pick<Excluded, 'why' | 'lacksRate'> | undefined {
  if (tier && !cash.serviceTiers?.[tier]) {
    const add = `serviceTiers: { ${tier}: { percentOfStandard: "..." } }`;
    return { why: `has no price for the service tier ${tier}`, lacksRate: { param: 'service_tier', add } };
  }
  const modality = outputModalities.find((m) => cash.unitPicos?.[OUTPUT_UNIT[m]] === undefined);
  if (!modality) return undefined;
  const add = `output${modality[0]!.toUpperCase()}${modality.slice(1)}UsdPerMillionTokens: "..."`;
  return { why: `has no price for ${modality} output`, lacksRate: { param: 'modalities', add } };
}

const OUTPUT_UNIT = {
  audio: 'outputAudioTokens',
  image: 'outputImageTokens',
  video: 'outputVideoTokens',
} as const satisfies Record<Modality, UsageUnit>;

/** @param outputTokens of one choice */
function expectedUsage(estimate: BackendEstimate, outputTokens: number, choices: number): Usage {
  const input = Math.ceil(estimate.inputTokensExpected);
  const cacheReadTokens = Math.min(input, Math.round(estimate.cacheReadTokensExpected));
  const cacheWrite5mTokens = Math.min(input - cacheReadTokens, Math.round(estimate.cacheWriteTokensExpected));
  return {
    inputTokens: input - cacheReadTokens - cacheWrite5mTokens,
    cacheReadTokens,
    cacheWrite5mTokens,
    cacheWrite1hTokens: 0,
    outputTokens: Math.ceil(outputTokens * choices),
    requests: 1,
  };
}

/** For the sentence of a choice: that its answer may be cut before the caller's limit. */
export function loweredText({ limitTokens, maxTokens }: Pick<Able, 'limitTokens' | 'maxTokens'>): string {
  if (limitTokens === undefined) return '';
  return `; at most ${maxTokens} output tokens, for no able backend gives the ${limitTokens} that the request allows`;
}

/** The caller's own cap clamps the output as a budget would. */
function cap(candidate: Candidate, maxCostNanos: Nanos): Candidate | Excluded {
  const { fixedNanos, perOutputTokenNanos } = candidate.bound.cash;
  const room = maxCostNanos - fixedNanos;
  const affordable =
    perOutputTokenNanos === 0n
      ? room >= 0n
        ? candidate.maxTokens
        : -1
      : room < 0n
        ? -1
        : Number(room / perOutputTokenNanos);
  const { backend, minTokens } = candidate;
  if (affordable < minTokens) {
    const leastNanos = fixedNanos + perOutputTokenNanos * BigInt(minTokens);
    const why = `may cost $${nanosToUsd(leastNanos)} for ${minTokens} output tokens`;
    return { backend, code: 'above-cap', why, leastNanos };
  }
  candidate.maxTokens = Math.min(candidate.maxTokens, affordable);
  return candidate;
}
