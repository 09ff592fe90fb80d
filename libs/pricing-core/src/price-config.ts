import type {
  BackendConfig,
  RateCard,
  RateCardConfig,
  Rates,
  RatesConfig,
  RateTable,
  RateTableConfig,
  ServiceTierConfig,
  UsageUnit,
} from '@meritorder/contracts';
import { parseDecimal, usdPerMillionToPicos } from '@meritorder/kernel';

/** Prices that cannot be made into rates; the message names the backend and the line to add. */
export class PriceConfigError extends Error {
  override readonly name = 'PriceConfigError';
}

type Field = keyof RatesConfig;

/** USD per 1M tokens are the same number as pico-USD per token x 10^-6; per 1,000 of something, x 10^-9 for one. */
const perMillion = usdPerMillionToPicos;
const perThousand = (usd: string): bigint => parseDecimal(usd, 9);
const each = (usd: string): bigint => parseDecimal(usd, 12);

const UNIT_FIELDS: Record<UsageUnit, { field: Field; parse: (usd: string) => bigint }> = {
  inputAudioTokens: { field: 'inputAudioUsdPerMillionTokens', parse: perMillion },
  inputImageTokens: { field: 'inputImageUsdPerMillionTokens', parse: perMillion },
  inputVideoTokens: { field: 'inputVideoUsdPerMillionTokens', parse: perMillion },
  cacheReadAudioTokens: { field: 'cacheReadAudioUsdPerMillionTokens', parse: perMillion },
  cacheReadImageTokens: { field: 'cacheReadImageUsdPerMillionTokens', parse: perMillion },
  cacheReadVideoTokens: { field: 'cacheReadVideoUsdPerMillionTokens', parse: perMillion },
  outputAudioTokens: { field: 'outputAudioUsdPerMillionTokens', parse: perMillion },
  outputImageTokens: { field: 'outputImageUsdPerMillionTokens', parse: perMillion },
  outputVideoTokens: { field: 'outputVideoUsdPerMillionTokens', parse: perMillion },
  citationTokens: { field: 'citationUsdPerMillionTokens', parse: perMillion },
  webSearches: { field: 'webSearchUsdPerThousand', parse: perThousand },
  fileSearches: { field: 'fileSearchUsdPerThousand', parse: perThousand },
  codeExecutions: { field: 'codeExecutionUsdPerThousand', parse: perThousand },
  pages: { field: 'pageUsdPerThousand', parse: perThousand },
  audioMilliseconds: { field: 'audioUsdPerHour', parse: each },
};

/** One set of rates: what is written, over what `base` has. @throws PriceConfigError without input or output. */
export function ratesFromConfig(config: RatesConfig, base: Rates | undefined, where: string): Rates {
  const written = (field: Field, parse: (usd: string) => bigint = perMillion): string | undefined => {
    const text = config[field];
    return text === undefined ? undefined : parse(text).toString();
  };
  const input = written('inputUsdPerMillionTokens') ?? base?.inputPicosPerToken;
  const output = written('outputUsdPerMillionTokens') ?? base?.outputPicosPerToken;
  if (input === undefined || output === undefined) {
    const missing = [input === undefined ? 'input' : '', output === undefined ? 'output' : ''].filter(Boolean);
    throw new PriceConfigError(
      `${where}: ${missing.join(' and ')} have no price and the catalogue does not know the model; add ${missing
        .map((m) => `${m}UsdPerMillionTokens: "..."`)
        .join(', ')} (zero must be written as "0")`,
    );
  }
  // What cost the same as input in the base has no price of its own there, and goes where the input price goes.
  const listed = (picos: string | undefined): string | undefined =>
    picos === base?.inputPicosPerToken ? undefined : picos;
  const write5m = written('cacheWrite5mUsdPerMillionTokens') ?? listed(base?.cacheWrite5mPicosPerToken) ?? input;
  const write1h =
    base?.cacheWrite1hPicosPerToken === base?.cacheWrite5mPicosPerToken ? undefined : base?.cacheWrite1hPicosPerToken;
  const reasoning = written('reasoningUsdPerMillionTokens') ?? base?.reasoningPicosPerToken;
  const units: Partial<Record<UsageUnit, string>> = { ...base?.unitPicos };
  for (const [unit, { field, parse }] of Object.entries(UNIT_FIELDS)) {
    const own = written(field, parse);
    if (own !== undefined) units[unit as UsageUnit] = own;
  }
  return {
    inputPicosPerToken: input,
    cacheReadPicosPerToken: written('cacheReadUsdPerMillionTokens') ?? listed(base?.cacheReadPicosPerToken) ?? input,
    cacheWrite5mPicosPerToken: write5m,
    cacheWrite1hPicosPerToken:
      written('cacheWrite1hUsdPerMillionTokens') ??
      (config.cacheWrite5mUsdPerMillionTokens === undefined ? write1h : undefined) ??
      write5m,
    outputPicosPerToken: output,
    requestPicos: written('requestUsd', each) ?? base?.requestPicos ?? '0',
    ...(reasoning === undefined ? {} : { reasoningPicosPerToken: reasoning }),
    ...(Object.keys(units).length === 0 ? {} : { unitPicos: units }),
  };
}

function tableFromConfig(config: RateTableConfig, base: RateTable | undefined, where: string): RateTable {
  const rates = ratesFromConfig(config, base, where);
  const tiers =
    config.contextTiers?.map(({ overInputTokens, ...tier }) => ({
      overInputTokens,
      rates: ratesFromConfig(tier, rates, `${where} over ${overInputTokens} input tokens`),
    })) ?? base?.contextTiers;
  return { ...rates, ...(tiers ? { contextTiers: tiers } : {}) };
}

/**
 * A whole card: what is written, over what `base` (the catalogue's card) has. Bands, tiers and cliffs that are written replace
 * those of the base.
 * @throws PriceConfigError when input or output have no price at all.
 */
export function cardFromConfig(config: RateCardConfig, base: RateCard | undefined, where: string): RateCard {
  const standard = tableFromConfig(config, base, where);
  const bands =
    config.timeBands?.map(({ fromUtc, toUtc, ...table }) => ({
      fromUtc,
      toUtc,
      rates: tableFromConfig(table, standard, `${where} from ${fromUtc}`),
    })) ?? base?.timeBands;
  const tiers: Record<string, RateTable> = { ...base?.serviceTiers };
  for (const [tier, table] of Object.entries(config.serviceTiers ?? {}))
    if (table) tiers[tier] = tierFromConfig(table, standard, `${where}, tier ${tier}`);
  const notPriced = base?.notPriced?.filter((name) => config[`${name}UsdPerMillionTokens` as Field] === undefined);
  return {
    ...standard,
    ...(bands ? { timeBands: bands } : {}),
    ...(Object.keys(tiers).length > 0 ? { serviceTiers: tiers } : {}),
    ...(notPriced && notPriced.length > 0 ? { notPriced } : {}),
  };
}

function tierFromConfig(config: ServiceTierConfig, standard: RateTable, where: string): RateTable {
  const { percentOfStandard, ...table } = config;
  const base = percentOfStandard === undefined ? standard : scaleTable(standard, percentOfStandard, where);
  return tableFromConfig(table, base, where);
}

/** Every rate times a percentage, exactly. @throws PriceConfigError where that is no whole pico-USD. */
function scaleTable(table: RateTable, percent: string, where: string): RateTable {
  const numerator = parseDecimal(percent, 6);
  const denominator = 100_000_000n;
  const scale = (picos: string): string => {
    const product = BigInt(picos) * numerator;
    if (product % denominator !== 0n) {
      throw new PriceConfigError(
        `${where}: ${percent} % of ${picos} pico-USD per token is finer than a pico-USD; write the rate itself`,
      );
    }
    return (product / denominator).toString();
  };
  const scaleRates = (rates: Rates): Rates => ({
    inputPicosPerToken: scale(rates.inputPicosPerToken),
    cacheReadPicosPerToken: scale(rates.cacheReadPicosPerToken),
    cacheWrite5mPicosPerToken: scale(rates.cacheWrite5mPicosPerToken),
    cacheWrite1hPicosPerToken: scale(rates.cacheWrite1hPicosPerToken),
    outputPicosPerToken: scale(rates.outputPicosPerToken),
    requestPicos: scale(rates.requestPicos),
    ...(rates.reasoningPicosPerToken === undefined
      ? {}
      : { reasoningPicosPerToken: scale(rates.reasoningPicosPerToken) }),
    // Fees of tools are not part of a tier's discount.
    ...(rates.unitPicos === undefined ? {} : { unitPicos: rates.unitPicos }),
  });
  return {
    ...scaleRates(table),
    ...(table.contextTiers
      ? { contextTiers: table.contextTiers.map((tier) => ({ ...tier, rates: scaleRates(tier.rates) })) }
      : {}),
  };
}

/** The line to add for a backend that nobody names a price of. */
export function missingPriceOf(
  backend: Pick<BackendConfig, 'id' | 'kind' | 'catalogue' | 'provider' | 'model'>,
): string {
  const asked = backend.catalogue !== false && (backend.kind === 'cloud' || backend.catalogue !== undefined);
  const why = asked
    ? `the catalogue does not know ${catalogueNameOf(backend)} and it has no prices`
    : 'it has no prices';
  return (
    `backend ${backend.id} gets no budgeted traffic: ${why}; add to it ` +
    'prices: [{ effectiveFrom: "...", cash: { inputUsdPerMillionTokens: "...", outputUsdPerMillionTokens: "..." } }] ' +
    '(zero must be written as "0")'
  );
}

/** The same for one that is asked in batches, whose prices say nothing of them. */
export function missingBatchRateOf({ id }: Pick<BackendConfig, 'id'>): string {
  return (
    `backend ${id} gets no jobs: its price has no service tier batch, which it is charged by; add to its prices ` +
    'cash: { ..., serviceTiers: { batch: { percentOfStandard: "50" } } }'
  );
}

/** How people name a backend's model in messages. */
export function catalogueNameOf(backend: Pick<BackendConfig, 'catalogue' | 'provider' | 'model'>): string {
  return typeof backend.catalogue === 'string' ? backend.catalogue : `${backend.provider}/${backend.model}`;
}
