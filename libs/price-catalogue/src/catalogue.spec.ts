import { calcPrice, waitForUpdate } from '@pydantic/genai-prices';
import { describe, expect, it } from 'vitest';
import type { Usage, UsageUnit } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { rate, totalInputTokens } from '@meritorder/pricing-core';
import { bundledCatalogue, CatalogueError } from './catalogue.js';
import { readCatalogue } from './read-catalogue.js';

const catalogue = bundledCatalogue('0.1.8');
const providers = (await waitForUpdate()) ?? [];
const models = providers.flatMap(({ id, models: all }) =>
  all.map((model) => ({ id, model, name: `${id}/${model.id}` })),
);
/** Priced by something that is not counted here, so not priced at all. */
const refused = models.filter(({ model }) =>
  /"\w*(annotated_document|text_messages)\w*":/.test(JSON.stringify(model.prices)),
);

/** The catalogue's own calculator wants inclusive counts, and seconds. */
function theirs(usage: Usage): Record<string, number> {
  const unit = (name: UsageUnit): number => usage.units?.[name] ?? 0;
  const cacheRead = unit('cacheReadAudioTokens') + unit('cacheReadImageTokens');
  return {
    input_tokens: totalInputTokens(usage),
    input_audio_tokens: unit('inputAudioTokens') + unit('cacheReadAudioTokens'),
    input_image_tokens: unit('inputImageTokens') + unit('cacheReadImageTokens'),
    cache_read_tokens: usage.cacheReadTokens + cacheRead,
    cache_audio_read_tokens: unit('cacheReadAudioTokens'),
    cache_image_read_tokens: unit('cacheReadImageTokens'),
    cache_write_tokens: usage.cacheWrite5mTokens + usage.cacheWrite1hTokens,
    cache_write_1h_tokens: usage.cacheWrite1hTokens,
    output_tokens: usage.outputTokens + unit('outputAudioTokens') + unit('outputImageTokens'),
    output_audio_tokens: unit('outputAudioTokens'),
    output_image_tokens: unit('outputImageTokens'),
    output_reasoning_tokens: usage.reasoningTokens ?? 0,
    web_searches: unit('webSearches'),
    storage_searches: unit('fileSearches'),
    input_document_pages: unit('pages'),
    audio_seconds: unit('audioMilliseconds') / 1000,
    input_audio_seconds: unit('audioMilliseconds') / 1000,
  };
}

function unitsOf(between: (max: number) => number): NonNullable<Usage['units']> {
  return {
    inputAudioTokens: between(5_000),
    cacheReadAudioTokens: between(2) * between(900),
    inputImageTokens: between(5_000),
    cacheReadImageTokens: between(2) * between(900),
    outputAudioTokens: between(2_000),
    outputImageTokens: between(2_000),
    webSearches: between(5),
    fileSearches: between(5),
    pages: between(40),
    audioMilliseconds: between(7_200_000),
  };
}

describe('the bundled catalogue', () => {
  it('prices every model of every provider as its own calculator does, at every cliff, hour and date', () => {
    const random = seededRandom(7);
    const between = (max: number): number => Math.floor(random() * max);
    let compared = 0;
    for (const { id, model, name } of models) {
      if (refused.some((r) => r.model === model)) continue;
      const entries = catalogue.entriesOf(name);
      if (entries.length === 0) continue; // the model's own id is not one of its names, or it has no price
      for (let n = 0; n < 12; n++) {
        const atMs = Date.UTC(2026, between(11), 1 + between(28), between(24), between(60));
        const usage: Usage = {
          inputTokens: between(n % 2 ? 2_000 : 300_000),
          cacheReadTokens: between(3) * between(50_000),
          cacheWrite5mTokens: between(2) * between(9_000),
          cacheWrite1hTokens: between(2) * between(9_000),
          outputTokens: between(9_000),
          requests: 1,
          units: n % 3 === 0 ? unitsOf(between) : { webSearches: between(2) * between(5) },
        };
        usage.reasoningTokens = between(usage.outputTokens);
        const calculated = calcPrice(theirs(usage), model.id, { providerId: id, timestamp: new Date(atMs) });
        if (!calculated || calculated.model.id !== model.id) continue;
        const at = new Date(atMs).toISOString();
        const entry = entries.filter((e) => e.from === null || e.from <= at).at(-1)!;
        const ours = rate({ cash: entry.card, full: entry.card }, usage, { atMs }).cashNanos;
        // Half a nano-dollar is ours to round, half a pico-dollar a token where a rate is a quotient; the rest is the
        // calculator's floating point.
        const quotients = Object.values(calculated.model_price).some(
          (p) => typeof p === 'number' && !Number.isInteger(Number((p * 1e6).toFixed(6))),
        );
        const slack = quotients ? (totalInputTokens(usage) + usage.outputTokens) * 0.0005 : 0;
        expect(
          Math.abs(Number(ours) - calculated.total_price * 1e9),
          `${id}/${model.id} ${JSON.stringify(usage)} at ${at}`,
        ).toBeLessThanOrEqual(0.51 + slack + calculated.total_price * 1e9 * 1e-12);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(10_000);
  });

  it('every rate of every model is a whole number of pico-USD', () => {
    for (const { model, name } of models)
      if (!refused.some((r) => r.model === model)) expect(() => catalogue.entriesOf(name)).not.toThrow();
  });

  it('a model that is priced by something that is not counted here is an error that says what to do, never too cheap', () => {
    expect(refused.length).toBeGreaterThan(0);
    for (const { name } of refused) {
      expect(() => catalogue.entriesOf(name)).toThrow(CatalogueError);
      expect(() => catalogue.entriesOf(name)).toThrow(/not counted here; write the backend's prices/);
    }
  });

  it('a model that is listed without a price has none, which is not zero (pitfall 22)', () => {
    const unpriced = models.filter(({ model }) => JSON.stringify(model.prices) === '{}');
    expect(unpriced.length).toBeGreaterThan(0);
    for (const { name } of unpriced) expect(catalogue.entriesOf(name)).toEqual([]);
  });

  it('a model it does not know has no price, which is not zero', () => {
    expect(catalogue.entriesOf('openai/no-such-model-at-all')).toEqual([]);
    expect(catalogue.entriesOf('nobody/gpt-4.1')).toEqual([]);
    expect(catalogue.entriesOf('gpt-4.1')).toEqual([]);
  });

  it('says where each price is from', () => {
    expect(catalogue.entriesOf('openai/gpt-4.1')[0]!.source).toBe('@pydantic/genai-prices 0.1.8: openai/gpt-4.1');
  });
});

describe('a catalogue from a file', () => {
  const provider = (prices: unknown) =>
    JSON.stringify([
      {
        id: 'acme',
        name: 'Acme',
        api_pattern: 'acme',
        models: [{ id: 'm', match: { equals: 'm' }, prices }],
      },
    ]);

  it('is read in the format the package publishes', () => {
    const entries = readCatalogue(
      provider([
        { prices: { input_mtok: 1, output_mtok: 2 } },
        { constraint: { start_date: '2026-02-01' }, prices: { input_mtok: 0.5, output_mtok: 2 } },
      ]),
      'prices.json',
    ).entriesOf('acme/m');
    expect(entries.map((e) => [e.from, e.card.inputPicosPerToken])).toEqual([
      [null, '1000000'],
      ['2026-02-01T00:00:00.000Z', '500000'],
    ]);
  });

  it.each([
    ['not JSON', '{"a":', /not JSON/],
    ['empty', '[]', />=1/],
    ['a price that is text', provider({ input_mtok: '1.0' }), /prices/],
    ['a negative price', provider({ input_mtok: -1 }), /prices/],
    ['something else', '{"error":"rate limited"}', /expected array/],
  ])('%s changes nothing and says so', (_name, text, message) => {
    expect(() => readCatalogue(text, 'prices.json')).toThrow(CatalogueError);
    expect(() => readCatalogue(text, 'prices.json')).toThrow(message);
    expect(() => readCatalogue(text, 'prices.json')).toThrow(/nothing was changed/);
  });
});
