import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { BackendConfig, PriceConfig } from '@meritorder/contracts';
import {
  priceInForce,
  PriceConfigError,
  proposalsFor,
  sourceOf,
  versionOf,
  type CatalogueEntry,
  type PriceProposal,
} from './index.js';
import { backend, card, price } from './prices.for-tests.js';

const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const JAN = '2026-01-01T00:00:00.000Z';
const MAR = '2026-03-01T00:00:00.000Z';
const JUN = '2026-06-01T00:00:00.000Z';
const listed = (from: string | null, inputUsdPerMillionTokens: string): CatalogueEntry => ({
  from,
  card: card({ inputUsdPerMillionTokens, cacheReadUsdPerMillionTokens: '0.1', outputUsdPerMillionTokens: '8' }),
  source: 'catalogue 1: acme/m',
});
const written = (effectiveFrom: string, cash: PriceConfig['cash'], more: Partial<PriceConfig> = {}): PriceConfig => ({
  effectiveFrom,
  cash,
  source: 'meritorder.yaml',
  ...more,
});
const plain = (input: string): PriceConfig['cash'] => ({
  inputUsdPerMillionTokens: input,
  outputUsdPerMillionTokens: '8',
});

function proposals(
  of: BackendConfig,
  catalogue: CatalogueEntry[] = [],
  context: Partial<Parameters<typeof proposalsFor>[1]> = {},
): PriceProposal[] {
  return proposalsFor(of, { accounts: [], exchangeRates: [], ...context }, (name) =>
    name === 'acme/m' ? catalogue : [],
  );
}
const inputs = (list: readonly PriceProposal[]) => list.map((p) => [p.effectiveFrom, p.cash.inputPicosPerToken]);

describe('the prices that a configuration stands for', () => {
  it('of a model that the catalogue knows are its own, with its dates', () => {
    const list = proposals(backend(), [listed(null, '2'), listed(MAR, '1')]);
    expect(inputs(list)).toEqual([
      [null, '2000000'],
      [MAR, '1000000'],
    ]);
    expect(list.every((p) => p.derived && p.word === undefined && p.source === 'catalogue 1: acme/m')).toBe(true);
  });

  it('of a model that nobody knows are none: no price, which is not zero', () => {
    expect(proposals(backend())).toEqual([]);
  });

  it('the operator overlays what is written, from then on', () => {
    const list = proposals(backend({ prices: [written(MAR, { outputUsdPerMillionTokens: '6' })] }), [
      listed(null, '2'),
    ]);
    expect(list.map((p) => [p.effectiveFrom, p.cash.inputPicosPerToken, p.cash.outputPicosPerToken])).toEqual([
      [null, '2000000', '8000000'],
      [MAR, '2000000', '6000000'],
    ]);
  });

  it("a change of the catalogue's under an overlay is another price", () => {
    const list = proposals(backend({ prices: [written(JAN, { outputUsdPerMillionTokens: '6' })] }), [
      listed(null, '2'),
      listed(JUN, '1'),
    ]);
    expect(inputs(list)).toEqual([
      [null, '2000000'],
      [JAN, '2000000'],
      [JUN, '1000000'],
    ]);
    expect(list.map((p) => p.derived)).toEqual([true, true, true]);
  });

  it('a card that names every rate rests on nobody', () => {
    const full = { ...plain('2'), cacheReadUsdPerMillionTokens: '0.1' };
    const [, own] = proposals(backend({ prices: [written(JAN, full)] }), [listed(null, '3')]);
    expect(own).toMatchObject({ derived: false, source: 'meritorder.yaml' });
  });

  it('the catalogue is not asked where the operator says so, and for own hardware only when told', () => {
    const catalogue = [listed(null, '2')];
    expect(proposals(backend({ catalogue: false }), catalogue)).toEqual([]);
    expect(proposals(backend({ kind: 'local' }), catalogue)).toEqual([]);
    expect(proposals(backend({ kind: 'local', catalogue: 'acme/m' }), catalogue)).toHaveLength(1);
    expect(proposals(backend({ model: 'my-deployment', catalogue: 'acme/m' }), catalogue)).toHaveLength(1);
  });

  it('a negotiated discount acts from its date, on the models that it names', () => {
    const context = {
      accounts: [{ provider: 'acme', adjustments: [{ effectiveFrom: MAR, percent: '-12.5', models: ['m'] }] }],
    };
    const factors = (of: BackendConfig) =>
      proposals(of, [listed(null, '2')], context).map((p) => [p.effectiveFrom, p.accountFactor]);
    expect(factors(backend())).toEqual([
      [null, undefined],
      [MAR, '0.875'],
    ]);
    expect(factors(backend({ model: 'other', catalogue: 'acme/m' }))).toEqual([[null, undefined]]);
    expect(factors(backend({ provider: 'else', catalogue: 'acme/m' }))).toEqual([[null, undefined]]);
  });

  it.each([
    ['-12.5', '0.875'],
    ['5.5', '1.055'],
    ['0', '1'],
    ['100', '2'],
    ['-99.999999', '0.00000001'],
  ])('%s percent is the factor %s', (percent, accountFactor) => {
    const context = { accounts: [{ provider: 'acme', adjustments: [{ effectiveFrom: JAN, percent }] }] };
    expect(proposals(backend({ prices: [written(JAN, plain('2'))] }), [], context)[0]!.accountFactor).toBe(
      accountFactor,
    );
  });

  it('a price in another currency is a new version with each dated rate', () => {
    const rate = (from: string, usdPerUnit: string) => ({ currency: 'EUR', from, usdPerUnit, source: 'ECB' });
    const list = proposals(
      backend({ prices: [written(JAN, plain('2'), { currency: 'EUR' })] }),
      // What the catalogue says in USD is not laid under it.
      [listed(null, '9')],
      { exchangeRates: [rate('2025-12-01T00:00:00Z', '1.04'), rate(MAR, '1.0842')] },
    );
    expect(list.map((p) => [p.effectiveFrom, p.currency?.usdPerUnit, p.cash.inputPicosPerToken])).toEqual([
      [null, undefined, '9000000'],
      [JAN, '1.04', '2000000'],
      [MAR, '1.0842', '2000000'],
    ]);
    expect(list[2]!.currency!.rateId).toBe('EUR-2026-03-01 ECB');
  });

  it('without a rate of that time it is an error that says so', () => {
    const of = backend({ prices: [written(JAN, plain('2'), { currency: 'EUR' })] });
    const exchangeRates = [{ currency: 'EUR', from: MAR, usdPerUnit: '1.1', source: 'ECB' }];
    expect(() => proposals(of, [], { exchangeRates })).toThrow(PriceConfigError);
    expect(() => proposals(of, [], { exchangeRates })).toThrow(/exchangeRates has no rate of EUR/);
  });

  it('other models that may answer have their own', () => {
    const of = backend({ otherModels: [{ model: 'm-mini', prices: [written(JAN, plain('0.2'))] }] });
    expect(proposals(of).map((p) => [p.model, p.cash.inputPicosPerToken])).toEqual([['m-mini', '200000']]);
  });

  it('a time with an offset is the same instant', () => {
    const of = backend({ prices: [written('2026-01-01T00:00:00Z', plain('2'))] });
    expect(proposals(of)[0]!.effectiveFrom).toBe(JAN);
  });
});

describe('every rate is traceable to its source', () => {
  const of = backend({
    prices: [
      written(
        MAR,
        { outputUsdPerMillionTokens: '6', serviceTiers: { batch: { percentOfStandard: '50' } } },
        { source: 'contract 2026-17' },
      ),
      written(JUN, { ...plain('2'), cacheReadUsdPerMillionTokens: '0.1' }, { source: 'contract 2026-31' }),
    ],
  });
  const context = { accounts: [{ provider: 'acme', adjustments: [{ effectiveFrom: MAR, percent: '-5' }] }] };
  const [before, merged, own] = proposals(of, [listed(null, '2')], context);

  it.each([
    ['the catalogue alone', before, 'inputUsdPerMillionTokens', 'catalogue 1: acme/m'],
    ['a rate that was written', merged, 'outputUsdPerMillionTokens', 'contract 2026-17'],
    ['a tier that was written', merged, 'serviceTiers', 'contract 2026-17'],
    ['a rate beside it that was not', merged, 'inputUsdPerMillionTokens', 'catalogue 1: acme/m'],
    ['the discount', merged, 'accountFactor', `accounts: acme, -5 % from ${MAR}`],
    ['a card of the operator alone', own, 'cacheReadUsdPerMillionTokens', 'contract 2026-31'],
  ])('%s', (_, version, name, source) => {
    expect(sourceOf(version!, name)).toBe(source);
  });

  it('the exchange rate too', () => {
    const [yen] = proposals(backend({ prices: [written(JAN, plain('300'), { currency: 'JPY' })] }), [], {
      exchangeRates: [{ currency: 'JPY', from: JAN, usdPerUnit: '0.0066', source: 'BoJ' }],
    });
    expect(sourceOf(yen!, 'currency')).toBe('JPY-2026-01-01 BoJ');
  });

  it('and each rate of a merged card is that of the source it names', () => {
    for (const { cash } of [merged!]) {
      expect(cash.outputPicosPerToken).toBe('6000000');
      expect(cash.inputPicosPerToken).toBe(listed(null, '2').card.inputPicosPerToken);
      expect(cash.cacheReadPicosPerToken).toBe(listed(null, '2').card.cacheReadPicosPerToken);
    }
  });
});

describe("the operator's word", () => {
  const word = (prices: PriceConfig[]) => proposals(backend({ prices }), [listed(null, '2')]).at(-1)!.word;

  it.each<[string, PriceConfig, boolean]>([
    ['the same numbers otherwise written', written(JAN, { outputUsdPerMillionTokens: '6.00' }), true],
    ['another source', written(JAN, { outputUsdPerMillionTokens: '6' }, { source: 'mail' }), true],
    ['another number', written(JAN, { outputUsdPerMillionTokens: '60' }), false],
    ['another rate', written(JAN, { inputUsdPerMillionTokens: '6' }), false],
  ])('%s', (_, prices, same) => {
    expect(word([prices]) === word([written(JAN, { outputUsdPerMillionTokens: '6' })])).toBe(same);
  });
});

describe('the version in force', () => {
  const of = (id: string, effectiveFrom: string, model?: string) =>
    price({}, { id, effectiveFrom, ...(model ? { model } : {}) });
  const book = [of('a', JAN), of('late', MAR), of('b', JUN), of('correction', MAR), of('mini', JAN, 'm-mini')];

  it.each<[string, string, string | undefined, string | undefined]>([
    ['before the first there is none', '2025-12-31T23:59:59.999Z', undefined, undefined],
    ['from its instant on', JAN, undefined, 'a'],
    ['until the next', '2026-02-28T23:59:59.999Z', undefined, 'a'],
    ['of two from the same instant the later in the book', MAR, undefined, 'correction'],
    ['the last one for ever', '2036-01-01T00:00:00.000Z', undefined, 'b'],
    ['of another model only when asked', JUN, 'm-mini', 'mini'],
  ])('%s', (_, at, model, id) => {
    expect(priceInForce(book, Date.parse(at), model)?.id).toBe(id);
  });
});

describe('the id of a version', () => {
  const [proposal] = proposals(backend({ prices: [written(JAN, plain('2'))] }));

  it('is the same for the same prices in every process, whatever the source says', () => {
    const id = versionOf(proposal!, JAN, sha256Hex).id;
    expect(versionOf({ ...proposal!, source: 'elsewhere' }, JAN, sha256Hex).id).toBe(id);
    expect(id).toMatch(/^pv-[0-9a-f]{24}$/);
  });

  it('is another for another rate, start or backend', () => {
    const ids = new Set([
      versionOf(proposal!, JAN, sha256Hex).id,
      versionOf(proposal!, MAR, sha256Hex).id,
      versionOf({ ...proposal!, backend: 'c' }, JAN, sha256Hex).id,
      versionOf({ ...proposal!, accountFactor: '0.9' }, JAN, sha256Hex).id,
      versionOf({ ...proposal!, cash: card({ inputUsdPerMillionTokens: '3' }) }, JAN, sha256Hex).id,
    ]);
    expect(ids.size).toBe(5);
  });

  it('what is published has none of what the book keeps for itself', () => {
    expect(Object.keys(versionOf({ ...proposal!, word: 'x' }, JAN, sha256Hex)).sort()).toEqual(
      ['backend', 'cash', 'effectiveFrom', 'full', 'id', 'source'].sort(),
    );
  });
});
