import type { PriceVersion, RateCard, Rates, RateTable, Usage } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import {
  boundNanos,
  boundOf,
  boundOfEither,
  rate,
  type Allowed,
  type Bound,
  type Priced,
  type RatedCost,
} from '@meritorder/pricing-core';
import type { BackendForecast } from '../learned/forecast-request.js';

/** A request at one backend, as far as its cost goes. */
export interface CostQuestion {
  readonly forecast: BackendForecast;
  readonly price: PriceVersion;
  /** Prices in force of other models that may answer in its place; the bound covers them too. */
  readonly otherPrices?: readonly PriceVersion[];
  /** The most output tokens of one choice: what was asked for, within what the backend and its context allow. */
  readonly maxTokens: number;
  /** What else the request allows, for the bound. */
  readonly allowed: Omit<Allowed, 'inputTokensBound'>;
  readonly atMs: number;
}

export interface CostEstimate {
  /** What is expected to be used; whole tokens. */
  readonly usage: Usage;
  /** For scores. */
  readonly expected: RatedCost;
  /** With an answer as long as only one of 20, or of 100, is expected to be. */
  readonly p95: RatedCost;
  readonly p99: RatedCost;
  /** For reserving; undefined where a part of the request has no bound. */
  readonly bound: Bound | undefined;
  readonly boundCashNanos: Nanos | undefined;
  readonly boundFullNanos: Nanos | undefined;
}

/** The expected cost and the upper bound of a request at one backend: what `rate` and `boundOf` of the settlement make of it. */
export function estimateCost(question: CostQuestion): CostEstimate {
  const { forecast, price, otherPrices = [], maxTokens, allowed, atMs } = question;
  const { output, input } = forecast;
  const usageWith = (outputTokens: number): Usage =>
    expectedUsage(forecast, Math.min(outputTokens, maxTokens) * allowed.choices);
  const usage = usageWith(output.expected);
  const bound =
    input.bound === undefined
      ? undefined
      : otherPrices.reduce(
          (either, other) =>
            boundOfEither(either, boundOf(other, { ...allowed, inputTokensBound: input.bound as number })),
          boundOf(price, { ...allowed, inputTokensBound: input.bound }),
        );
  return {
    usage,
    expected: rate(price, usage, { atMs }),
    p95: rate(price, usageWith(output.p95), { atMs }),
    p99: rate(price, usageWith(output.p99), { atMs }),
    bound,
    boundCashNanos: bound && boundNanos(bound.cash, maxTokens),
    boundFullNanos: bound && boundNanos(bound.full, maxTokens),
  };
}

/** The disjoint token vector that is expected: whole tokens that add up to the expected input. */
export function expectedUsage({ input, split }: BackendForecast, outputTokens: number): Usage {
  const cacheReadTokens = Math.round(split.cacheRead);
  const cacheWrite5mTokens = Math.min(input.expected - cacheReadTokens, Math.round(split.cacheWrite5m));
  const cacheWrite1hTokens = Math.min(
    input.expected - cacheReadTokens - cacheWrite5mTokens,
    Math.round(split.cacheWrite1h),
  );
  return {
    inputTokens: input.expected - cacheReadTokens - cacheWrite5mTokens - cacheWrite1hTokens,
    cacheReadTokens,
    cacheWrite5mTokens,
    cacheWrite1hTokens,
    outputTokens: Math.ceil(outputTokens),
    requests: 1,
  };
}

/** What a part of a cost is for, with the count that is priced and the rate that prices it. */
export const COST_KINDS = [
  ['input', 'inputTokens', 'inputPicosPerToken'],
  ['cacheRead', 'cacheReadTokens', 'cacheReadPicosPerToken'],
  ['cacheWrite5m', 'cacheWrite5mTokens', 'cacheWrite5mPicosPerToken'],
  ['cacheWrite1h', 'cacheWrite1hTokens', 'cacheWrite1hPicosPerToken'],
  ['output', 'outputTokens', 'outputPicosPerToken'],
  ['request', 'requests', 'requestPicos'],
] as const satisfies readonly (readonly [string, keyof Usage, keyof Rates])[];
export type CostKind = (typeof COST_KINDS)[number][0];

export interface CostLine {
  readonly kind: CostKind;
  /** Tokens, or requests. */
  readonly count: number;
  readonly cashNanos: Nanos;
  readonly fullNanos: Nanos;
}

/**
 * A cost by what it is for. Each part is priced by the settlement's own code with the rates of all others at zero, so that tiers
 * and times of day hold for the parts as for the whole; the parts add up to the whole, the largest takes what rounding leaves.
 */
export function costLines(price: PriceVersion, usage: Usage, atMs: number): CostLine[] {
  const whole = rate(price, usage, { atMs });
  const lines = COST_KINDS.map(([kind, count]) => {
    const { cashNanos, fullNanos } = rate(onlyFor(price, kind), usage, { atMs });
    return { kind, count: usage[count], cashNanos, fullNanos };
  }).filter((line) => line.count > 0 && (line.kind !== 'request' || line.cashNanos > 0n || line.fullNanos > 0n));
  for (const amount of ['cashNanos', 'fullNanos'] as const) {
    const left = lines.reduce((rest, line) => rest - line[amount], whole[amount]);
    const largest = lines.toSorted((a, b) => (a[amount] < b[amount] ? 1 : -1))[0];
    if (largest) largest[amount] += left;
  }
  return lines;
}

const priced = new WeakMap<PriceVersion, Map<CostKind, Priced>>();

/** The price with every other rate at zero; remembered, since cards are compiled per object. */
function onlyFor(price: PriceVersion, kind: CostKind): Priced {
  let known = priced.get(price);
  if (known === undefined) priced.set(price, (known = new Map()));
  let only = known.get(kind);
  if (only === undefined) {
    const { marginal: _marginal, ...rest } = price;
    only = { ...rest, cash: cardFor(price.cash, kind), full: cardFor(price.full, kind) };
    known.set(kind, only);
  }
  return only;
}

function cardFor({ timeBands, serviceTiers: _tiers, ...table }: RateCard, kind: CostKind): RateCard {
  return {
    ...tableFor(table, kind),
    ...(timeBands ? { timeBands: timeBands.map((band) => ({ ...band, rates: tableFor(band.rates, kind) })) } : {}),
  };
}

function tableFor({ contextTiers, ...rates }: RateTable, kind: CostKind): RateTable {
  return {
    ...ratesFor(rates, kind),
    ...(contextTiers
      ? { contextTiers: contextTiers.map((tier) => ({ ...tier, rates: ratesFor(tier.rates, kind) })) }
      : {}),
  };
}

function ratesFor(rates: Rates, kind: CostKind): Rates {
  const only = { ...rates };
  for (const [other, , name] of COST_KINDS) if (other !== kind) only[name] = '0';
  return only;
}
