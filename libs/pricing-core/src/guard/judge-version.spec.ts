import { describe, expect, it } from 'vitest';
import type { PriceVersion, RateCardConfig } from '@meritorder/contracts';
import { judgeVersion, type PricePeer, type VersionQuestion } from '../index.js';
import { card, price } from '../prices.for-tests.js';

const cloud = { kind: 'cloud', provider: 'acme', model: 'x-large' } as const;
const own = { kind: 'local', provider: 'rack', model: 'llama-3.3-70b' } as const;
const usual: RateCardConfig = {
  inputUsdPerMillionTokens: '2',
  cacheReadUsdPerMillionTokens: '0.50',
  outputUsdPerMillionTokens: '8',
};

function found(proposed: PriceVersion, more: Partial<VersionQuestion> = {}): string[] {
  return judgeVersion({ previous: undefined, proposed, zeroIsExplicit: false, backend: cloud, peers: [], ...more }).map(
    (r) => `${r.code} ${r.rate}`,
  );
}
const change = (from: RateCardConfig, to: RateCardConfig): string[] => found(price(to), { previous: price(from) });

describe('a price of a cloud backend', () => {
  it('that is ordinary acts at once, and so does a cut of 80 % (o3 in June 2025)', () => {
    expect(found(price(usual))).toEqual([]);
    expect(
      change(
        { inputUsdPerMillionTokens: '10', cacheReadUsdPerMillionTokens: '2.50', outputUsdPerMillionTokens: '40' },
        usual,
      ),
    ).toEqual([]);
  });

  it.each<[string, RateCardConfig, string]>([
    ['input', { inputUsdPerMillionTokens: '2000' }, 'jump input'],
    ['a cache hit', { cacheReadUsdPerMillionTokens: '0.0005' }, 'jump cacheRead'],
    [
      'a tier of long context',
      { contextTiers: [{ overInputTokens: 200_000, inputUsdPerMillionTokens: '4000' }] },
      'absurd inputAbove200000',
    ],
    [
      'a time of day',
      { timeBands: [{ fromUtc: '16:30', toUtc: '00:30', inputUsdPerMillionTokens: '0.01' }] },
      'tier-ratio inputFrom1630',
    ],
    ['a service tier', { serviceTiers: { batch: { percentOfStandard: '5' } } }, 'tier-ratio inputBatch'],
    ['a fee of a thousand for one', { webSearchUsdPerThousand: '10000' }, 'unusual webSearches'],
    ['an hour of sound', { audioUsdPerHour: '360' }, 'absurd audioHours'],
    ['a request', { requestUsd: '500' }, 'absurd request'],
  ])('that is wrong in %s is held, wherever the rest is right', (_, wrong, reason) => {
    expect(change(usual, { ...usual, ...wrong })).toContain(reason);
  });

  it('per token in a field for 1M is held with the hint, also as the first of its kind (pitfall 40)', () => {
    const [reason] = judgeVersion({
      previous: undefined,
      proposed: price({ inputUsdPerMillionTokens: '0.000002', outputUsdPerMillionTokens: '0.000008' }),
      zeroIsExplicit: true,
      backend: cloud,
      peers: [],
    });
    expect(reason).toMatchObject({ code: 'absurd', rate: 'input' });
    expect(reason!.message).toContain('1,000,000x: USD per token typed as USD per 1M?');
  });

  it('is compared with what the catalogue knows of its family, but not with itself: no baseline holds what is tested (pitfall 39)', () => {
    const listed: PricePeer = {
      model: 'acme/x-large',
      provider: 'acme',
      price: { cash: card({ inputUsdPerMillionTokens: '120', outputUsdPerMillionTokens: '480' }) },
      source: 'catalogue: acme/x-large',
    };
    const typed = price({ inputUsdPerMillionTokens: '0.12', outputUsdPerMillionTokens: '0.48' });
    expect(found(typed, { peers: [listed] })).toEqual(['family input', 'family output']);
    const dear = price(
      { inputUsdPerMillionTokens: '120', outputUsdPerMillionTokens: '480' },
      { source: 'catalogue: acme/x-large' },
    );
    expect(found(dear, { peers: [listed] })).toEqual(['unusual input', 'unusual output']);
    expect(found({ ...dear, source: 'meritorder.yaml' }, { peers: [listed] })).toEqual([]);
  });

  it('is compared in USD: what is odd in yen is not, and an exchange rate upside down is', () => {
    const yen = (usdPerUnit: string): PriceVersion =>
      price(
        { inputUsdPerMillionTokens: '300', outputUsdPerMillionTokens: '1200' },
        { currency: { code: 'JPY', usdPerUnit, rateId: 'JPY-2026-06-01 BoJ' } },
      );
    expect(found(yen('0.0066'))).toEqual([]);
    expect(found(yen('0.0066'), { previous: price(usual) })).toEqual([]);
    expect(found(yen('151'), { previous: yen('0.0066') })).toEqual(['jump input', 'jump output']);
  });

  it("is compared after the account's adjustment", () => {
    expect(found(price(usual, { accountFactor: '0.875' }), { previous: price(usual) })).toEqual([]);
    expect(found(price(usual, { accountFactor: '0.05' }), { previous: price(usual) })).toEqual([
      'jump input',
      'jump cacheRead',
      'jump output',
    ]);
  });
});

describe('zero', () => {
  const free = price({});
  it.each<[string, PriceVersion, Partial<VersionQuestion>, string[]]>([
    ['of a catalogue is held', free, {}, ['zero-added input', 'zero-added output']],
    ['that the operator wrote acts', free, { zeroIsExplicit: true }, []],
    [
      'that the operator wrote over a catalogue acts, rate by rate',
      price({}, { sources: { '*': 'catalogue', inputUsdPerMillionTokens: 'meritorder.yaml' } }),
      {},
      ['zero-added output'],
    ],
    [
      'in place of a price is held whoever wrote it',
      free,
      { zeroIsExplicit: true, previous: price(usual) },
      ['zero-from-price input', 'zero-from-price output'],
    ],
    ['cash of own hardware that the operator wrote acts', free, { zeroIsExplicit: true, backend: own }, []],
    [
      'cash of own hardware that says what it costs acts',
      price({}, { full: card({ inputUsdPerMillionTokens: '0.06', outputUsdPerMillionTokens: '0.30' }) }),
      { backend: own },
      [],
    ],
    ['of own hardware that says nothing is held', free, { backend: own }, ['zero-added input', 'zero-added output']],
    [
      'fee in place of a fee is held',
      price(usual),
      { previous: price({ ...usual, requestUsd: '0.005' }) },
      ['zero-from-price request'],
    ],
    [
      'is not what a source says that gives no rate at all: that is no price, whoever wrote it',
      price({}, { cash: { ...card({}), notPriced: ['input', 'output'] } }),
      { zeroIsExplicit: true },
      ['no-price undefined'],
    ],
    [
      'in a rate that the source does not give is no zero',
      price({}, { cash: { ...card({ audioUsdPerHour: '0.36' }), notPriced: ['input', 'output'] } }),
      {},
      [],
    ],
  ])('%s', (_, proposed, more, reasons) => {
    expect(found(proposed, more)).toEqual(reasons);
  });
});

describe('what own hardware costs', () => {
  const costs = (full: RateCardConfig, marginal?: RateCardConfig): PriceVersion =>
    price({}, { full: card(full), ...(marginal ? { marginal: card(marginal) } : {}) });
  const today: RateCardConfig = { inputUsdPerMillionTokens: '0.0603', outputUsdPerMillionTokens: '0.3003' };
  const judged = (proposed: PriceVersion, previous?: PriceVersion): string[] =>
    found(proposed, { backend: own, previous, zeroIsExplicit: true });

  it('has no list price to be compared with: far below any, dearer to write than to read, all of it may be', () => {
    expect(judged(costs({ inputUsdPerMillionTokens: '0.0001', outputUsdPerMillionTokens: '0.9' }, today))).toEqual([]);
  });

  it('an hourly price taken for a monthly one is a jump of 730x', () => {
    const slipped = { inputUsdPerMillionTokens: '0.000083', outputUsdPerMillionTokens: '0.000411' };
    expect(judged(costs(slipped), costs(today))).toEqual(['jump full.input', 'jump full.output']);
    expect(judged(costs(today, slipped), costs(today, today))).toEqual(['jump marginal.input', 'jump marginal.output']);
  });

  it('more than $1,000 per 1M tokens is above what any token costs', () => {
    expect(judged(costs({ ...today, outputUsdPerMillionTokens: '1200' }))).toEqual(['absurd full.output']);
  });

  it('that falls to nothing is held', () => {
    expect(judged(costs({ outputUsdPerMillionTokens: '0.3' }), costs(today))).toEqual(['zero-from-price full.input']);
  });

  it('twice as much after a month of little traffic acts at once', () => {
    const twice = { inputUsdPerMillionTokens: '0.1206', outputUsdPerMillionTokens: '0.6006' };
    expect(judged(costs(twice), costs(today))).toEqual([]);
  });
});
