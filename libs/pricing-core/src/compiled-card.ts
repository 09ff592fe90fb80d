import type { RateCard, RateTable, Rates, ServiceTier, UsageUnit } from '@meritorder/contracts';
import type { Picos } from '@meritorder/kernel';

/** Rates as integers: pico-USD per token, per request, and per unit (audio: per hour). */
export interface CompiledRates {
  input: Picos;
  cacheRead: Picos;
  cacheWrite5m: Picos;
  cacheWrite1h: Picos;
  output: Picos;
  request: Picos;
  /** Undefined: reasoning is output. */
  reasoning: Picos | undefined;
  /** Undefined: the unit has no rate, not even that of plain tokens. */
  unit: Record<UsageUnit, Picos | undefined>;
}

export interface CompiledTable {
  base: CompiledRates;
  /** By falling threshold, so that the first one exceeded counts. */
  tiers: { overInputTokens: number; rates: CompiledRates }[];
}

export interface CompiledCard {
  standard: CompiledTable;
  bands: { fromMinute: number; toMinute: number; table: CompiledTable }[];
  serviceTiers: Partial<Record<ServiceTier, CompiledTable>>;
  notPriced: readonly string[];
  /** Above which any of the tables has other rates: input tokens, rising, each once. */
  thresholds: readonly number[];
}

const cards = new WeakMap<RateCard, CompiledCard>();

/** A rate card as bigints; remembered per object. */
export function compileCard(card: RateCard): CompiledCard {
  let known = cards.get(card);
  if (!known) {
    const standard = compileTable(card);
    const bands = (card.timeBands ?? []).map((band) => ({
      fromMinute: minuteOf(band.fromUtc),
      toMinute: minuteOf(band.toUtc),
      table: compileTable(band.rates),
    }));
    const serviceTiers = Object.fromEntries(
      Object.entries(card.serviceTiers ?? {}).map(([tier, table]) => [tier, compileTable(table)]),
    );
    const tables = [standard, ...bands.map((band) => band.table), ...Object.values(serviceTiers)];
    known = {
      standard,
      bands,
      serviceTiers,
      notPriced: card.notPriced ?? [],
      thresholds: [...new Set(tables.flatMap((t) => t.tiers.map((tier) => tier.overInputTokens)))].sort(
        (a, b) => a - b,
      ),
    };
    cards.set(card, known);
  }
  return known;
}

function compileTable(table: RateTable): CompiledTable {
  return {
    base: compileRates(table),
    tiers: (table.contextTiers ?? [])
      .map((tier) => ({ overInputTokens: tier.overInputTokens, rates: compileRates(tier.rates) }))
      .sort((a, b) => b.overInputTokens - a.overInputTokens),
  };
}

function minuteOf(text: string): number {
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
}

/** What a unit of plain tokens falls back to. Searches, runs, pages and hours of audio have no plain rate. */
function compileRates(rates: Rates): CompiledRates {
  const input = BigInt(rates.inputPicosPerToken);
  const cacheRead = BigInt(rates.cacheReadPicosPerToken);
  const output = BigInt(rates.outputPicosPerToken);
  const own = (unit: UsageUnit): Picos | undefined => {
    const text = rates.unitPicos?.[unit];
    return text === undefined ? undefined : BigInt(text);
  };
  const audio = own('inputAudioTokens') ?? input;
  const image = own('inputImageTokens') ?? input;
  const video = own('inputVideoTokens') ?? input;
  // Where a hit is no cheaper for text, it is no cheaper for sound either.
  const hit = (plain: Picos): Picos => (cacheRead === input ? plain : cacheRead);
  return {
    input,
    cacheRead,
    cacheWrite5m: BigInt(rates.cacheWrite5mPicosPerToken),
    cacheWrite1h: BigInt(rates.cacheWrite1hPicosPerToken),
    output,
    request: BigInt(rates.requestPicos),
    reasoning: rates.reasoningPicosPerToken === undefined ? undefined : BigInt(rates.reasoningPicosPerToken),
    unit: {
      inputAudioTokens: audio,
      inputImageTokens: image,
      inputVideoTokens: video,
      cacheReadAudioTokens: own('cacheReadAudioTokens') ?? hit(audio),
      cacheReadImageTokens: own('cacheReadImageTokens') ?? hit(image),
      cacheReadVideoTokens: own('cacheReadVideoTokens') ?? hit(video),
      outputAudioTokens: own('outputAudioTokens') ?? output,
      outputImageTokens: own('outputImageTokens') ?? output,
      outputVideoTokens: own('outputVideoTokens') ?? output,
      citationTokens: own('citationTokens'),
      webSearches: own('webSearches'),
      fileSearches: own('fileSearches'),
      codeExecutions: own('codeExecutions'),
      audioMilliseconds: own('audioMilliseconds'),
      pages: own('pages'),
    },
  };
}
