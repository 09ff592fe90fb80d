import type { BackendConfig, PriceVersion, Usage, UsageUnit } from '@meritorder/contracts';
import { nanosToUsd, type Nanos } from '@meritorder/kernel';
import { boundOf, boundOfEither, expectedCost, type Bound } from '@meritorder/pricing-core';
import { isTranslated, servesKind, type Modality, type Requirements } from './requirements.js';

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
}

/** What is expected of one backend for a request, in tokens. Expectations score, bounds reserve. */
export interface BackendEstimate {
  /** All input, whatever its kind. */
  inputTokensExpected: number;
  /** Of these, read from the provider's prompt cache; and written to it. */
  cacheReadTokensExpected: number;
  cacheWriteTokensExpected: number;
  /** The most input tokens the request can have; undefined: it has a part without a bound. */
  inputTokensBound: number | undefined;
  /** What the input is trusted to stay under; never above its bound. */
  inputTokensUpper: number;
  /** Of one choice. */
  outputTokensExpected: number;
  /** Lengths of one choice that 1 of 20, or of 100, exceeds. */
  outputTokensP95: number;
  outputTokensP99: number;
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
  /** Output tokens of one choice: what is asked for, and the least that is useful. */
  maxTokens: number;
  minTokens: number;
  /** Estimates for a score, USD. */
  expectedCashUsd: number;
  expectedFullUsd: number;
  /** What the request adds: of own hardware energy and wear, of a cloud backend its cash. */
  expectedMarginalUsd: number;
}

export type ExclusionCode = 'unable' | 'unpriced' | 'unavailable' | 'busy' | 'above-cap' | 'below-floor';
export interface Excluded {
  backend: BackendConfig;
  code: ExclusionCode;
  why: string;
}

/** Below this many output tokens an answer is of little use, so a hold is not clamped further. */
const LEAST_USEFUL_OUTPUT_TOKENS = 64;

/** Filters out what cannot serve the request, and says why; the others with their expected and largest costs, in the order given. */
export function ableCandidates(
  views: readonly BackendView[],
  requirements: Requirements,
  estimateOf: (backend: BackendConfig) => BackendEstimate,
  maxCostNanos: Nanos | undefined,
  atMs: number,
): { able: Able[]; excluded: Excluded[] } {
  const able: Able[] = [];
  const excluded: Excluded[] = [];
  for (const view of views) {
    const outcome = consider(view, requirements, estimateOf, maxCostNanos, atMs);
    if ('code' in outcome) excluded.push(outcome);
    else able.push(outcome);
  }
  return { able, excluded };
}

function consider(
  { backend, price, otherPrices = [], workersAlive, workersWithRoom, breakerClosed }: BackendView,
  requirements: Requirements,
  estimateOf: (backend: BackendConfig) => BackendEstimate,
  maxCostNanos: Nanos | undefined,
  atMs: number,
): Able | Excluded {
  const exclude = (code: ExclusionCode, why: string): Excluded => ({ backend, code, why });
  const { kind, uncarried } = requirements;
  if (!servesKind(backend, kind)) return exclude('unable', `does not serve ${kind}`);
  if (uncarried && isTranslated(backend, kind))
    return exclude('unable', `is sent a chat completion, which cannot say ${uncarried}`);
  const missing = requirements.capabilities.filter((c) => !backend.capabilities.includes(c));
  if (missing.length > 0) return exclude('unable', `lacks ${missing.join(', ')}`);
  if (requirements.unbounded) return exclude('unable', `${requirements.unbounded} has no cost bound`);
  const estimate = estimateOf(backend);
  const contextLeft = Math.floor(backend.contextTokens - estimate.inputTokensExpected);
  if (contextLeft < 1) {
    return exclude(
      'unable',
      `about ${Math.ceil(estimate.inputTokensExpected)} input tokens exceed its context of ${backend.contextTokens}`,
    );
  }
  if (estimate.inputTokensBound === undefined)
    return exclude('unable', 'the input has parts without a cost bound (images need maxTokensPerImage)');
  const unbounded = requirements.units.filter((unit) => backend.unitBounds?.[unit] === undefined);
  if (unbounded.length > 0) {
    return exclude(
      'unable',
      `${unbounded.join(', ')} may cost without a bound; add unitBounds: { ${unbounded[0]}: ... }`,
    );
  }
  const toolInputTokens = requirements.units.length === 0 ? 0 : backend.maxToolInputTokens;
  if (toolInputTokens === undefined)
    return exclude(
      'unable',
      "what the provider's tools fetch is billed as input without a bound; add maxToolInputTokens",
    );
  if (!price) return exclude('unpriced', 'has no price in force');
  const unpriced = unpricedOf(price, requirements);
  if (unpriced) return exclude('unpriced', unpriced);
  if (workersAlive === 0) return exclude('unavailable', 'no live worker');
  if (!breakerClosed) return exclude('unavailable', 'cooling down after failures');
  if (workersWithRoom === 0) return exclude('busy', 'all workers are busy');

  const asked = Math.min(requirements.maxTokens ?? backend.maxOutputTokens, backend.maxOutputTokens);
  // Embeddings have no output.
  const maxTokens = asked === 0 ? 0 : Math.max(1, Math.min(asked, contextLeft));
  if (maxTokens < requirements.leastTokens)
    return exclude(
      'unable',
      `leaves ${maxTokens} output tokens; the request asks for ${requirements.leastTokens} at least`,
    );
  const allowed = {
    choices: requirements.choices,
    units: backend.unitBounds ?? {},
    standardTierOnly: requirements.standardTierOnly,
    inputModalities: requirements.inputModalities,
    outputModalities: requirements.outputModalities,
  };
  const expected = expectedCost(price, expectedUsage(estimate, maxTokens, requirements.choices), { atMs });
  const boundOfInput = (inputTokensBound: number): Bound =>
    otherPrices.reduce(
      (either, other) => boundOfEither(either, boundOf(other, { ...allowed, inputTokensBound })),
      boundOf(price, { ...allowed, inputTokensBound }),
    );
  const inputTokensBound = estimate.inputTokensBound;
  let bound: Bound | undefined;
  let trustedBound: Bound | undefined;
  const candidate: Able = {
    backend,
    price,
    otherPrices,
    estimate,
    get bound() {
      return (bound ??= boundOfInput(inputTokensBound + toolInputTokens));
    },
    get trustedBound() {
      return (trustedBound ??=
        estimate.inputTokensUpper < inputTokensBound
          ? boundOfInput(estimate.inputTokensUpper + toolInputTokens)
          : this.bound);
    },
    maxTokens,
    minTokens: Math.max(requirements.leastTokens, Math.min(maxTokens, LEAST_USEFUL_OUTPUT_TOKENS)),
    expectedCashUsd: expected.cashUsd,
    expectedFullUsd: expected.fullUsd,
    expectedMarginalUsd: expected.marginalUsd,
  };
  return maxCostNanos === undefined ? candidate : capped(candidate, maxCostNanos, exclude);
}

/** What the request names and the price does not have: it would be billed at a rate that nobody knows. */
function unpricedOf({ cash }: PriceVersion, { tier, outputModalities }: Requirements): string | undefined {
  if (tier && !cash.serviceTiers?.[tier]) return `has no price for the service tier ${tier}`;
  const modality = outputModalities.find((m) => cash.unitPicos?.[OUTPUT_UNIT[m]] === undefined);
  return modality && `has no price for ${modality} output`;
}

const OUTPUT_UNIT = {
  audio: 'outputAudioTokens',
  image: 'outputImageTokens',
  video: 'outputVideoTokens',
} as const satisfies Record<Modality, UsageUnit>;

function expectedUsage(estimate: BackendEstimate, maxTokens: number, choices: number): Usage {
  const input = Math.ceil(estimate.inputTokensExpected);
  const cacheReadTokens = Math.min(input, Math.round(estimate.cacheReadTokensExpected));
  const cacheWrite5mTokens = Math.min(input - cacheReadTokens, Math.round(estimate.cacheWriteTokensExpected));
  return {
    inputTokens: input - cacheReadTokens - cacheWrite5mTokens,
    cacheReadTokens,
    cacheWrite5mTokens,
    cacheWrite1hTokens: 0,
    outputTokens: Math.ceil(Math.min(estimate.outputTokensExpected, maxTokens) * choices),
    requests: 1,
  };
}

/** The caller's own cap clamps the output as a budget would. */
function capped(
  candidate: Able,
  maxCostNanos: Nanos,
  exclude: (code: ExclusionCode, why: string) => Excluded,
): Able | Excluded {
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
  if (affordable < candidate.minTokens) {
    const least = fixedNanos + perOutputTokenNanos * BigInt(candidate.minTokens);
    return exclude('above-cap', `may cost $${nanosToUsd(least)} for ${candidate.minTokens} output tokens`);
  }
  return { ...candidate, maxTokens: Math.min(candidate.maxTokens, affordable) };
}
