import type { PriceVersion, RateCard, ServiceTier, Usage, UsageUnit } from '@meritorder/contracts';
import { parseDecimal, type Nanos, type Picos } from '@meritorder/kernel';
import { compileCard, type CompiledCard, type CompiledRates, type CompiledTable } from './compiled-card.js';

/** What decides which of a card's tables an attempt is priced by. */
export interface Served {
  /** The tier that was served; undefined: the backend did not say, so the standard one. */
  tier?: ServiceTier | undefined;
  /** The instant of completion. */
  atMs: number;
}

const INPUT_UNITS = [
  'inputAudioTokens',
  'inputImageTokens',
  'inputVideoTokens',
  'cacheReadAudioTokens',
  'cacheReadImageTokens',
  'cacheReadVideoTokens',
] as const;

/** All input tokens of a usage, which is what long-context tiers go by. */
export function totalInputTokens(usage: Usage): number {
  let total = usage.inputTokens + usage.cacheReadTokens + usage.cacheWrite5mTokens + usage.cacheWrite1hTokens;
  if (usage.units) for (const unit of INPUT_UNITS) total += usage.units[unit] ?? 0;
  return total;
}

function ratesFor(card: CompiledCard, usage: Usage, served: Served): CompiledRates {
  const table = tableFor(card, served);
  if (table.tiers.length === 0) return table.base;
  const input = totalInputTokens(usage);
  return table.tiers.find((tier) => input > tier.overInputTokens)?.rates ?? table.base;
}

/** @internal The rates that a usage is priced by. */
export function ratesOf(card: RateCard, usage: Usage, served: Served): CompiledRates {
  return ratesFor(compileCard(card), usage, served);
}

function tableFor(card: CompiledCard, served: Served): CompiledTable {
  const special = served.tier && served.tier !== 'standard' ? card.serviceTiers[served.tier] : undefined;
  if (special) return special;
  if (card.bands.length > 0) {
    const minute = Math.floor((((served.atMs % DAY_MS) + DAY_MS) % DAY_MS) / 60_000);
    const band = card.bands.find(({ fromMinute, toMinute }) =>
      fromMinute < toMinute ? minute >= fromMinute && minute < toMinute : minute >= fromMinute || minute < toMinute,
    );
    if (band) return band.table;
  }
  return card.standard;
}

const DAY_MS = 86_400_000;
const MS_PER_HOUR = 3_600_000n;

/** An exact amount in pico-units: `picos + audioPicoHoursMs / 3,600,000`. */
interface ExactPicos {
  picos: Picos;
  audioPicoHoursMs: bigint;
}

/**
 * The exact cost of a usage. Counts are non-negative integers of a disjoint vector; only reasoning is a part of another
 * (output).
 */
function costOf(rates: CompiledRates, usage: Usage): ExactPicos {
  let picos = rates.request === 0n ? 0n : rates.request * BigInt(usage.requests);
  if (usage.inputTokens !== 0) picos += rates.input * BigInt(usage.inputTokens);
  if (usage.cacheReadTokens !== 0) picos += rates.cacheRead * BigInt(usage.cacheReadTokens);
  if (usage.cacheWrite5mTokens !== 0) picos += rates.cacheWrite5m * BigInt(usage.cacheWrite5mTokens);
  if (usage.cacheWrite1hTokens !== 0) picos += rates.cacheWrite1h * BigInt(usage.cacheWrite1hTokens);
  if (usage.outputTokens !== 0) {
    if (rates.reasoning === undefined || !usage.reasoningTokens) picos += rates.output * BigInt(usage.outputTokens);
    else {
      const reasoning = Math.min(usage.reasoningTokens, usage.outputTokens);
      picos += rates.reasoning * BigInt(reasoning) + rates.output * BigInt(usage.outputTokens - reasoning);
    }
  }
  let audioPicoHoursMs = 0n;
  if (usage.units) {
    for (const unit in usage.units) {
      const count = BigInt(usage.units[unit as UsageUnit] ?? 0);
      const rate = rates.unit[unit as UsageUnit] ?? 0n;
      if (unit === 'audioMilliseconds') audioPicoHoursMs += rate * count;
      else picos += rate * count;
    }
  }
  return { picos, audioPicoHoursMs };
}

/** A price version's factor from native pico-units to pico-USD: the account's adjustment times the exchange rate. */
export interface Factors {
  account: { numerator: bigint; denominator: bigint } | undefined;
  exchange: { numerator: bigint; denominator: bigint } | undefined;
  /** Whether the cards say the same as `cash`, as they do for every cloud backend: then nothing is rated twice. */
  fullIsCash: boolean;
  marginalIsCash: boolean;
}

const factorsOf = new WeakMap<object, Factors>();
const FACTOR_SCALE = 12;
const FACTOR_DENOMINATOR = 10n ** 12n;

/** @internal for bounds. */
export function factorsOfPrice(price: Priced): Factors {
  let known = factorsOf.get(price);
  if (!known) {
    const fraction = (text: string | undefined) =>
      text === undefined ? undefined : { numerator: parseDecimal(text, FACTOR_SCALE), denominator: FACTOR_DENOMINATOR };
    const cash = JSON.stringify(price.cash);
    known = {
      account: fraction(price.accountFactor),
      exchange: fraction(price.currency?.usdPerUnit),
      fullIsCash: JSON.stringify(price.full) === cash,
      marginalIsCash: price.marginal === undefined || JSON.stringify(price.marginal) === cash,
    };
    factorsOf.set(price, known);
  }
  return known;
}

/** Rounded once, half to even, from exact pico-units times factors to nanos. */
function toNanos({ picos, audioPicoHoursMs }: ExactPicos, by: readonly Factors['account'][]): Nanos {
  let numerator = picos;
  let denominator = 1_000n;
  if (audioPicoHoursMs !== 0n) {
    numerator = numerator * MS_PER_HOUR + audioPicoHoursMs;
    denominator *= MS_PER_HOUR;
  }
  for (const factor of by) {
    if (!factor) continue;
    numerator *= factor.numerator;
    denominator *= factor.denominator;
  }
  const whole = numerator / denominator;
  const twice = (numerator - whole * denominator) * 2n;
  return twice > denominator || (twice === denominator && (whole & 1n) === 1n) ? whole + 1n : whole;
}

export type Priced = Pick<PriceVersion, 'cash' | 'full' | 'marginal' | 'accountFactor' | 'currency'>;

export interface RatedCost {
  cashNanos: Nanos;
  fullNanos: Nanos;
  marginalNanos: Nanos;
  /** Cash in the price's own currency, where that is not USD. */
  native?: { currency: string; nanos: Nanos; rateId: string };
  /** What was used and has no rate; priced without it. */
  unpriced: string[];
}

/** All costs of an attempt at a price version: what receipts show and what metering books. */
export function rate(price: Priced, usage: Usage, served: Served): RatedCost {
  const rated = ratedByTokens(price, usage, served);
  return usage.statedPicos === undefined ? rated : asStated(price, BigInt(usage.statedPicos), rated);
}

/**
 * Cash is what the provider said, in USD whatever the price's currency; what full and marginal cost have beside cash stays. The
 * account's own factor holds for it, too: a fee on credits, a discount.
 */
function asStated(price: Priced, picos: Picos, rated: RatedCost): RatedCost {
  const cashNanos = toNanos({ picos, audioPicoHoursMs: 0n }, [factorsOfPrice(price).account]);
  const beside = (nanos: Nanos): Nanos => (nanos > rated.cashNanos ? nanos - rated.cashNanos : 0n);
  return {
    cashNanos,
    fullNanos: cashNanos + beside(rated.fullNanos),
    marginalNanos: cashNanos + beside(rated.marginalNanos),
    unpriced: [],
  };
}

function ratedByTokens(price: Priced, usage: Usage, served: Served): RatedCost {
  const { account, exchange, fullIsCash, marginalIsCash } = factorsOfPrice(price);
  const own = costIn(price.cash, usage, served);
  const by = [account, exchange];
  const cashNanos = toNanos(own, by);
  const fullNanos = fullIsCash ? cashNanos : toNanos(costIn(price.full, usage, served), by);
  const marginalNanos = marginalIsCash ? cashNanos : toNanos(costIn(price.marginal!, usage, served), by);
  return {
    cashNanos,
    fullNanos,
    marginalNanos,
    ...(price.currency && exchange
      ? { native: { currency: price.currency.code, nanos: toNanos(own, [account]), rateId: price.currency.rateId } }
      : {}),
    unpriced: unpricedIn(price, usage, served),
  };
}

function costIn(card: RateCard, usage: Usage, served: Served): ExactPicos {
  const compiled = compileCard(card);
  return costOf(ratesFor(compiled, usage, served), usage);
}

/** Cash of a usage, rounded once: for comparisons and tests. */
export function costNanos(price: Priced, usage: Usage, served: Served): Nanos {
  return rate(price, usage, served).cashNanos;
}

function unpricedIn(price: Priced, usage: Usage, served: Served): string[] {
  const card = compileCard(price.cash);
  const tierUnknown = served.tier !== undefined && served.tier !== 'standard' && !card.serviceTiers[served.tier];
  if (!usage.units && card.notPriced.length === 0 && !tierUnknown) return [];
  const missing: string[] = [];
  if (tierUnknown) missing.push(`service-tier:${served.tier}`);
  const rates = ratesFor(card, usage, served);
  for (const [unit, count] of Object.entries(usage.units ?? {}))
    if (count && rates.unit[unit as UsageUnit] === undefined) missing.push(unit);
  const used: Record<string, number> = {
    input: usage.inputTokens + usage.cacheReadTokens + usage.cacheWrite5mTokens + usage.cacheWrite1hTokens,
    output: usage.outputTokens,
  };
  for (const name of card.notPriced) if ((used[name] ?? 0) > 0) missing.push(name);
  return missing;
}

/** All tables that an attempt may be priced by, for bounds: of every tier and every time of day, unless the tier is certain. */
export function reachableRates(
  card: RateCard,
  may: { inputTokensBound: number; standardTierOnly: boolean; batchTierOnly?: boolean },
): CompiledRates[] {
  const compiled = compileCard(card);
  const { batch } = compiled.serviceTiers;
  const tables =
    may.batchTierOnly && batch
      ? [batch]
      : [
          compiled.standard,
          ...compiled.bands.map((band) => band.table),
          ...(may.standardTierOnly ? [] : Object.values(compiled.serviceTiers)),
        ];
  return tables.flatMap((table) => [
    table.base,
    ...table.tiers.filter((tier) => may.inputTokensBound > tier.overInputTokens).map((tier) => tier.rates),
  ]);
}
