import type { BackendConfig, EstimateRow, PriceVersion } from '@meritorder/contracts';
import type { Allowed } from '@meritorder/pricing-core';
import type { BackendForecast, ForecastBackend, RequestForecast } from '../learned/forecast-request.js';
import { costLines, estimateCost, type CostEstimate } from './estimate-cost.js';

/** One backend to compare. */
export interface ComparedBackend {
  readonly backend: ForecastBackend & Pick<BackendConfig, 'contextTokens'>;
  /** In force; undefined: none is. */
  readonly price: PriceVersion | undefined;
  readonly otherPrices?: readonly PriceVersion[];
  /** The most of each unit beside tokens. */
  readonly unitBounds?: Allowed['units'];
  /** Why it cannot serve this request, where the router already knows: capabilities, no worker, health. */
  readonly unable?: string | undefined;
}

export interface Comparison {
  readonly choices: number;
  readonly standardTierOnly?: boolean;
  readonly inputModalities?: Allowed['inputModalities'];
  readonly outputModalities?: Allowed['outputModalities'];
  readonly atMs: number;
}

/**
 * All backends for one request side by side: by expected cash, then by expected full cost, then by id; those that are not able
 * or not priced come last, each with the reason and with everything that is known all the same.
 */
export function compareBackends(
  forecast: RequestForecast,
  candidates: readonly ComparedBackend[],
  comparison: Comparison,
): EstimateRow[] {
  return candidates.map((candidate) => rowOf(candidate, forecast.of(candidate.backend), comparison)).toSorted(byCost);
}

const STATES = ['able', 'unable', 'unpriced'] as const satisfies readonly EstimateRow['state'][];

function byCost(a: EstimateRow, b: EstimateRow): number {
  const order = STATES.indexOf(a.state) - STATES.indexOf(b.state);
  if (order !== 0) return order;
  const difference =
    BigInt(a.cost?.expectedCashNanos ?? 0) - BigInt(b.cost?.expectedCashNanos ?? 0) ||
    BigInt(a.cost?.expectedFullNanos ?? 0) - BigInt(b.cost?.expectedFullNanos ?? 0);
  if (difference !== 0n) return difference < 0n ? -1 : 1;
  return a.backend < b.backend ? -1 : a.backend > b.backend ? 1 : 0;
}

function rowOf(candidate: ComparedBackend, forecast: BackendForecast, comparison: Comparison): EstimateRow {
  const { backend, price, otherPrices } = candidate;
  const { atMs, ...allowed } = comparison;
  const contextLeft = backend.contextTokens - forecast.contextTokensExpected;
  const maxTokens = Math.max(1, Math.min(forecast.maxTokens, contextLeft));
  const cost =
    price &&
    estimateCost({
      forecast,
      price,
      ...(otherPrices ? { otherPrices } : {}),
      maxTokens,
      allowed: { ...allowed, ...(candidate.unitBounds ? { units: candidate.unitBounds } : {}) },
      atMs,
    });
  const unable =
    candidate.unable ??
    (contextLeft < 1
      ? `about ${forecast.contextTokensExpected} input tokens exceed its context of ${backend.contextTokens}`
      : forecast.inputTokensBound === undefined
        ? (forecast.inputUnbounded ?? 'the input has parts without a cost bound')
        : undefined);
  const reason = unable ?? (price ? undefined : 'has no price in force');
  return {
    backend: backend.id,
    provider: backend.provider,
    model: backend.model,
    state: unable !== undefined ? 'unable' : price ? 'able' : 'unpriced',
    ...(reason === undefined ? {} : { reason }),
    input: inputRow(forecast),
    output: outputRow(forecast, maxTokens, comparison.choices),
    ...(price && cost ? { priceVersion: price.id, cost: costRow(price, cost, atMs) } : {}),
  };
}

function inputRow({ input, inputCoverage, split }: BackendForecast): EstimateRow['input'] {
  return {
    expectedTokens: input.expected,
    upperTokens: input.upper,
    boundTokens: input.bound ?? null,
    basis: input.basis,
    ...(inputCoverage ? { coverage: { share: inputCoverage.share, judged: Math.round(inputCoverage.judged) } } : {}),
    cacheReadTokens: Math.round(split.cacheRead),
    cacheWriteTokens: Math.round(split.cacheWrite5m + split.cacheWrite1h),
    cacheBasis: split.basis,
  };
}

function outputRow({ output }: BackendForecast, maxTokens: number, choices: number): EstimateRow['output'] {
  const tokens = (value: number): number => Math.ceil(Math.min(value, maxTokens));
  return {
    expectedTokens: tokens(output.expected),
    p95Tokens: tokens(output.p95),
    p99Tokens: tokens(output.p99),
    maxTokens,
    choices,
    basis: output.basis,
    seen: output.seen,
    ...(output.coverage ? { coverage: { ...output.coverage, judged: Math.round(output.coverage.judged) } } : {}),
  };
}

function costRow(price: PriceVersion, cost: CostEstimate, atMs: number): NonNullable<EstimateRow['cost']> {
  return {
    expectedCashNanos: cost.expected.cashNanos.toString(),
    expectedFullNanos: cost.expected.fullNanos.toString(),
    expectedMarginalNanos: cost.expected.marginalNanos.toString(),
    p95CashNanos: cost.p95.cashNanos.toString(),
    p99CashNanos: cost.p99.cashNanos.toString(),
    boundCashNanos: cost.boundCashNanos?.toString() ?? null,
    boundFullNanos: cost.boundFullNanos?.toString() ?? null,
    lines: costLines(price, cost.usage, atMs).map((line) => ({
      kind: line.kind,
      count: line.count,
      cashNanos: line.cashNanos.toString(),
      fullNanos: line.fullNanos.toString(),
    })),
    unpriced: cost.expected.unpriced,
  };
}
