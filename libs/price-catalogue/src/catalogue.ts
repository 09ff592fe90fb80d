import { calcPrice, findProvider, type ConditionalPrice, type ModelPrice, type Provider } from '@pydantic/genai-prices';
import type { RateCard, Rates, RateTable, UsageUnit } from '@meritorder/contracts';
import { parseDecimal } from '@meritorder/kernel';
import type { CatalogueEntry } from '@meritorder/pricing-core';

/** A model's prices as the catalogue has them cannot be made into rates; the message says which and why. */
export class CatalogueError extends Error {
  override readonly name = 'CatalogueError';
}

/** The catalogue that comes with this version of the product, or one in the same format that was handed over. */
export interface Catalogue {
  /** Names the data, for the source of each rate. */
  readonly id: string;
  /** Entries of "provider/model", the undated one first; none when the model is not in the catalogue. */
  entriesOf(name: string): CatalogueEntry[];
}

/** `@pydantic/genai-prices`, by provider id and model name, matched as the package itself matches them. */
export function bundledCatalogue(version: string): Catalogue {
  return catalogueOf(`@pydantic/genai-prices ${version}`, (provider) => findProvider({ providerId: provider }));
}

/** @param providerOf a provider by id, in the package's own format. */
export function catalogueOf(id: string, providerOf: (provider: string) => Provider | undefined): Catalogue {
  return {
    id,
    entriesOf(name) {
      const slash = name.indexOf('/');
      const provider = providerOf(name.slice(0, slash));
      if (slash < 1 || !provider) return [];
      const found = calcPrice({}, name.slice(slash + 1), { provider });
      return found ? entriesFrom(found.model.prices, `${id}: ${provider.id}/${found.model.id}`) : [];
    },
  };
}

/**
 * All that the catalogue says of a model, over time. Prices without any rate are none: a model that is listed without prices is
 * not free.
 * @throws CatalogueError when a rate is for something that is not counted here: without it, the model would be priced too low.
 */
export function entriesFrom(all: ConditionalPrice[] | ModelPrice, source: string): CatalogueEntry[] {
  const prices = (Array.isArray(all) ? all : [{ prices: all }]).filter((p) =>
    Object.values(p.prices).some((value) => value !== undefined),
  );
  const dated = prices.flatMap(({ constraint, prices: rates }, order) => {
    if (constraint !== undefined && !('start_date' in constraint)) return [];
    const from = constraint === undefined ? null : `${constraint.start_date}T00:00:00.000Z`;
    return [{ from, order, card: cardOf(rates, source) }];
  });
  if (dated.length === 0 && prices[0]) dated.push({ from: null, order: -1, card: cardOf(prices[0].prices, source) });
  // The last condition that holds counts: a band outweighs the prices that are listed before it, and earlier bands.
  const bands = prices
    .flatMap(({ constraint, prices: rates }, order) =>
      constraint === undefined || 'start_date' in constraint
        ? []
        : [{ order, band: bandOf(constraint, rates, source) }],
    )
    .toReversed();
  return dated.map(({ from, order, card }) => {
    const over = bands.filter((b) => b.order > order).map((b) => b.band);
    return { from, card: over.length > 0 ? { ...card, timeBands: over } : card, source };
  });
}

function bandOf(
  { start_time, end_time }: { start_time: string; end_time: string },
  prices: ModelPrice,
  source: string,
): NonNullable<RateCard['timeBands']>[number] {
  return {
    fromUtc: timeOfDay(start_time, source),
    toUtc: timeOfDay(end_time, source),
    rates: tableOf(prices, source),
  };
}

function timeOfDay(text: string, source: string): string {
  const match = /^(\d{2}:\d{2}):00(?:\.0+)?Z$/.exec(text);
  if (!match) throw new CatalogueError(`${source}: a time of day of "${text}" is neither a whole minute nor in UTC`);
  return match[1]!;
}

const UNIT_KEYS: Record<string, UsageUnit> = {
  input_audio_mtok: 'inputAudioTokens',
  input_image_mtok: 'inputImageTokens',
  input_video_mtok: 'inputVideoTokens',
  cache_audio_read_mtok: 'cacheReadAudioTokens',
  cache_image_read_mtok: 'cacheReadImageTokens',
  cache_video_read_mtok: 'cacheReadVideoTokens',
  output_audio_mtok: 'outputAudioTokens',
  output_image_mtok: 'outputImageTokens',
  output_video_mtok: 'outputVideoTokens',
  output_citation_mtok: 'citationTokens',
  web_searches_kcount: 'webSearches',
  storage_searches_kcount: 'fileSearches',
  code_executions_kcount: 'codeExecutions',
  audio_hours: 'audioMilliseconds',
  input_audio_hours: 'audioMilliseconds',
  input_document_kpages: 'pages',
};

const KNOWN_KEYS = new Set([
  'input_mtok',
  'output_mtok',
  'cache_read_mtok',
  'cache_write_mtok',
  'cache_write_5m_mtok',
  'cache_write_1h_mtok',
  'output_reasoning_mtok',
  'requests_kcount',
  ...Object.keys(UNIT_KEYS),
]);

function cardOf(prices: ModelPrice, source: string): RateCard {
  const table = tableOf(prices, source);
  const notPriced = ['input', 'output'].filter((name) => prices[`${name}_mtok`] === undefined);
  return { ...table, ...(notPriced.length > 0 ? { notPriced } : {}) };
}

function tableOf(prices: ModelPrice, source: string): RateTable {
  const unknown = Object.keys(prices).find((key) => prices[key] !== undefined && !KNOWN_KEYS.has(key));
  if (unknown !== undefined) {
    throw new CatalogueError(
      `${source} has a price for ${unknown}, which is not counted here; write the backend's prices, and catalogue: false beside them`,
    );
  }
  const thresholds = new Set<number>();
  for (const value of Object.values(prices))
    if (typeof value === 'object') for (const { start } of value.tiers) thresholds.add(start);
  const at = (over: number | undefined): Rates => ratesOf(prices, over, source);
  const contextTiers = [...thresholds]
    .sort((a, b) => a - b)
    .map((start) => ({ overInputTokens: start, rates: at(start) }));
  return { ...at(undefined), ...(contextTiers.length > 0 ? { contextTiers } : {}) };
}

/** Rates of a request with just more than `over` input tokens; undefined: of a short one. */
function ratesOf(prices: ModelPrice, over: number | undefined, source: string): Rates {
  const rate = (key: string): string | undefined => {
    const value = prices[key];
    if (value === undefined) return undefined;
    let usd = typeof value === 'number' ? value : value.base;
    if (typeof value === 'object' && over !== undefined)
      for (const tier of [...value.tiers].sort((a, b) => a.start - b.start)) if (over >= tier.start) usd = tier.price;
    return picos(usd, key, source);
  };
  const input = rate('input_mtok') ?? '0';
  const write = rate('cache_write_mtok') ?? input;
  const write5m = rate('cache_write_5m_mtok') ?? write;
  const reasoning = rate('output_reasoning_mtok');
  const unitPicos: Partial<Record<UsageUnit, string>> = {};
  for (const [key, unit] of Object.entries(UNIT_KEYS)) {
    const own = rate(key);
    if (own !== undefined) unitPicos[unit] = own;
  }
  return {
    inputPicosPerToken: input,
    cacheReadPicosPerToken: rate('cache_read_mtok') ?? input,
    cacheWrite5mPicosPerToken: write5m,
    cacheWrite1hPicosPerToken: rate('cache_write_1h_mtok') ?? write,
    outputPicosPerToken: rate('output_mtok') ?? '0',
    requestPicos: rate('requests_kcount') ?? '0',
    ...(reasoning === undefined ? {} : { reasoningPicosPerToken: reasoning }),
    ...(Object.keys(unitPicos).length > 0 ? { unitPicos } : {}),
  };
}

/**
 * The catalogue's numbers are what people typed: the shortest decimal that reads back as the same number. A few are quotients
 * (1/12 USD per 1M): those are rounded to a whole pico-USD, which is less than a nano-USD off for 2,000 tokens.
 */
function picos(usd: number, key: string, source: string): string {
  const scale = key.endsWith('_kcount') || key.endsWith('_kpages') ? 9 : key.endsWith('_hours') ? 12 : 6;
  const text = decimalText(usd);
  const fraction = text.split('.')[1] ?? '';
  try {
    return parseDecimal(fraction.length > scale ? usd.toFixed(scale) : text, scale).toString();
  } catch (error) {
    throw new CatalogueError(`${source}: ${key}: ${(error as Error).message}`);
  }
}

function decimalText(value: number): string {
  const text = String(value);
  const match = /^(\d)(?:\.(\d+))?e-(\d+)$/.exec(text);
  return match ? `0.${'0'.repeat(Number(match[3]) - 1)}${match[1]}${match[2] ?? ''}` : text;
}
