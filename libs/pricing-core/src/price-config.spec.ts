import { describe, expect, it } from 'vitest';
import { PriceConfig, type RateCardConfig } from '@meritorder/contracts';
import { cardFromConfig, missingPriceOf, PriceConfigError, ratesFromConfig } from './index.js';
import { backend, card } from './prices.for-tests.js';

describe('rates as an operator writes them, USD per 1M tokens, become whole pico-USD', () => {
  it('per token, per request, per thing and per hour', () => {
    const rates = ratesFromConfig(
      {
        inputUsdPerMillionTokens: '2.5',
        outputUsdPerMillionTokens: '10',
        requestUsd: '0.005',
        webSearchUsdPerThousand: '10',
        audioUsdPerHour: '0.36',
        inputAudioUsdPerMillionTokens: '0.000001',
      },
      undefined,
      'x',
    );
    expect(rates).toMatchObject({
      inputPicosPerToken: '2500000',
      outputPicosPerToken: '10000000',
      requestPicos: '5000000000',
      unitPicos: { webSearches: '10000000000', audioMilliseconds: '360000000000', inputAudioTokens: '1' },
    });
  });

  it('cached tokens without a price cost what input costs, an hour of cache what 5 minutes cost', () => {
    const input = { inputUsdPerMillionTokens: '3', outputUsdPerMillionTokens: '15' };
    expect(ratesFromConfig(input, undefined, 'x')).toMatchObject({
      cacheReadPicosPerToken: '3000000',
      cacheWrite5mPicosPerToken: '3000000',
      cacheWrite1hPicosPerToken: '3000000',
    });
    expect(ratesFromConfig({ ...input, cacheWrite5mUsdPerMillionTokens: '3.75' }, undefined, 'x')).toMatchObject({
      cacheWrite5mPicosPerToken: '3750000',
      cacheWrite1hPicosPerToken: '3750000',
    });
  });

  it.each<[string, RateCardConfig, RegExp]>([
    ['no output', { inputUsdPerMillionTokens: '1' }, /output have no price.*outputUsdPerMillionTokens: "..."/],
    ['neither', {}, /input and output have no price.*\(zero must be written as "0"\)/],
  ])('%s is an error with the line to add, never zero', (_, config, message) => {
    expect(() => cardFromConfig(config, undefined, 'backend b')).toThrow(PriceConfigError);
    expect(() => cardFromConfig(config, undefined, 'backend b')).toThrow(message);
  });

  it('zero is a price when it is written', () => {
    expect(
      ratesFromConfig({ inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' }, undefined, 'x'),
    ).toMatchObject({
      inputPicosPerToken: '0',
      outputPicosPerToken: '0',
    });
  });

  it.each([
    ['a misspelt rate', { inputUsdPerMilionTokens: '1' }, /inputUsdPerMilionTokens/],
    ['a rate per token', { inputCostPerToken: '0.000001' }, /inputCostPerToken/],
    ['finer than a pico-USD', { inputUsdPerMillionTokens: '0.0000025' }, /more than 6 digits.*USD per 1M tokens/],
    ['scientific', { inputUsdPerMillionTokens: 2.5e-7 }, /not a decimal number.*USD per 1M tokens/],
    ['negative', { inputUsdPerMillionTokens: '-1' }, /not be negative/],
    ['an unknown tier', { serviceTiers: { turbo: { percentOfStandard: '50' } } }, /turbo/],
    ['a time of day that is none', { timeBands: [{ fromUtc: '24:00', toUtc: '01:00' }] }, /time of day/],
  ])('%s is refused by name (pitfalls 19 and 40)', (_, cash, message) => {
    const parsed = PriceConfig.safeParse({ effectiveFrom: '2026-01-01T00:00:00Z', cash });
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error?.issues)).toMatch(message);
  });

  it('a backend that nobody names a price of is told the line to add', () => {
    expect(missingPriceOf(backend({ id: 'mine', provider: 'acme', model: 'x-1' }))).toBe(
      'backend mine gets no budgeted traffic: the catalogue does not know acme/x-1 and it has no prices; add to it ' +
        'prices: [{ effectiveFrom: "...", cash: { inputUsdPerMillionTokens: "...", outputUsdPerMillionTokens: "..." } }] ' +
        '(zero must be written as "0")',
    );
    expect(missingPriceOf(backend({ kind: 'local' }))).toContain('it has no prices; add to it prices:');
  });
});

describe("an overlay over the catalogue's card", () => {
  const listed = card({
    inputUsdPerMillionTokens: '2',
    cacheReadUsdPerMillionTokens: '0.50',
    outputUsdPerMillionTokens: '8',
    webSearchUsdPerThousand: '10',
    contextTiers: [{ overInputTokens: 200_000, inputUsdPerMillionTokens: '4' }],
  });
  const over = (config: RateCardConfig) => cardFromConfig(config, listed, 'backend b');

  it('changes what it names and nothing else', () => {
    expect(over({ outputUsdPerMillionTokens: '6' })).toEqual({ ...listed, outputPicosPerToken: '6000000' });
    expect(over({})).toEqual(listed);
  });

  it('a cache that cost what input costs goes where the input price goes; one with a price of its own stays', () => {
    expect(over({ inputUsdPerMillionTokens: '1' })).toMatchObject({
      inputPicosPerToken: '1000000',
      cacheReadPicosPerToken: '500000',
      cacheWrite5mPicosPerToken: '1000000',
      cacheWrite1hPicosPerToken: '1000000',
    });
    const written = card({
      inputUsdPerMillionTokens: '3',
      cacheWrite5mUsdPerMillionTokens: '3.75',
      cacheWrite1hUsdPerMillionTokens: '6',
    });
    expect(cardFromConfig({ inputUsdPerMillionTokens: '2' }, written, 'b')).toMatchObject({
      cacheReadPicosPerToken: '2000000',
      cacheWrite5mPicosPerToken: '3750000',
      cacheWrite1hPicosPerToken: '6000000',
    });
  });

  it('adds tiers that the catalogue does not have', () => {
    const { serviceTiers } = over({ serviceTiers: { batch: { percentOfStandard: '50' } } });
    expect(serviceTiers!.batch).toMatchObject({
      inputPicosPerToken: '1000000',
      cacheReadPicosPerToken: '250000',
      outputPicosPerToken: '4000000',
      // Fees of tools are not part of a tier's discount.
      unitPicos: { webSearches: '10000000000' },
      contextTiers: [{ overInputTokens: 200_000, rates: { inputPicosPerToken: '2000000' } }],
    });
  });

  it('a rate beside the percentage wins', () => {
    const { serviceTiers } = over({
      serviceTiers: { priority: { percentOfStandard: '175', cacheReadUsdPerMillionTokens: '0.80' } },
    });
    expect(serviceTiers!.priority).toMatchObject({ inputPicosPerToken: '3500000', cacheReadPicosPerToken: '800000' });
  });

  it('a percentage that gives no whole pico-USD is an error, not a rounding', () => {
    const odd = card({ inputUsdPerMillionTokens: '0.000001' });
    expect(() => cardFromConfig({ serviceTiers: { batch: { percentOfStandard: '50' } } }, odd, 'b')).toThrow(
      /finer than a pico-USD; write the rate itself/,
    );
  });

  it('tiers and bands that are written replace those of the catalogue', () => {
    expect(over({ contextTiers: [] }).contextTiers).toEqual([]);
    const { timeBands } = over({ timeBands: [{ fromUtc: '16:30', toUtc: '00:30', inputUsdPerMillionTokens: '1' }] });
    expect(timeBands![0]!.rates).toMatchObject({ inputPicosPerToken: '1000000', outputPicosPerToken: '8000000' });
  });

  it('writing the rate that the catalogue does not give makes it a price', () => {
    const halfKnown = { ...listed, notPriced: ['input', 'output'] };
    expect(cardFromConfig({ outputUsdPerMillionTokens: '6' }, halfKnown, 'b').notPriced).toEqual(['input']);
  });
});
