import { describe, expect, it } from 'vitest';
import type { RateCardConfig, ServiceTier, Usage } from '@meritorder/contracts';
import { nanosToUsd, seededRandom } from '@meritorder/kernel';
import { costNanos, rate } from './index.js';
import { card, NOON, price, usage } from './prices.for-tests.js';

const usd = (rates: RateCardConfig, counts: Partial<Usage>, tier?: ServiceTier, atMs = NOON): string =>
  nanosToUsd(costNanos(price(rates), usage(counts), { tier, atMs }));

describe('each kind of token is priced once', () => {
  const rates: RateCardConfig = {
    inputUsdPerMillionTokens: '3',
    cacheReadUsdPerMillionTokens: '0.30',
    cacheWrite5mUsdPerMillionTokens: '3.75',
    cacheWrite1hUsdPerMillionTokens: '6',
    outputUsdPerMillionTokens: '15',
    requestUsd: '0.005',
  };
  it.each<[string, Partial<Usage>, string]>([
    ['nothing but the request', {}, '0.005'],
    ['no request', { requests: 0 }, '0'],
    ['1,000 input', { inputTokens: 1_000 }, '0.008'],
    ['1,000 read from the cache', { cacheReadTokens: 1_000 }, '0.0053'],
    ['1,000 written for 5 minutes', { cacheWrite5mTokens: 1_000 }, '0.00875'],
    ['1,000 written for an hour', { cacheWrite1hTokens: 1_000 }, '0.011'],
    ['1,000 output', { outputTokens: 1_000 }, '0.02'],
    ['1,000 output of which 800 reasoning', { outputTokens: 1_000, reasoningTokens: 800 }, '0.02'],
    ['all of it', { inputTokens: 100, cacheReadTokens: 200, cacheWrite5mTokens: 10, outputTokens: 7 }, '0.0055025'],
  ])('%s', (_, counts, expected) => {
    expect(usd(rates, counts)).toBe(expected);
  });

  it('prompt 64 and completion 135 with 78 of reasoning are 199 tokens (pitfall 17)', () => {
    const one: RateCardConfig = { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '1' };
    expect(usd(one, { inputTokens: 64, outputTokens: 135, reasoningTokens: 78 })).toBe('0.000199');
  });

  it('reasoning with a price of its own costs that, and the rest of the output its own', () => {
    const own: RateCardConfig = { outputUsdPerMillionTokens: '2', reasoningUsdPerMillionTokens: '8' };
    expect(usd(own, { outputTokens: 1_000, reasoningTokens: 600 })).toBe('0.0056');
    // A backend that says more reasoning than output is not charged for tokens that there are not.
    expect(usd(own, { outputTokens: 1_000, reasoningTokens: 1_500 })).toBe('0.008');
  });
});

describe('long context is a cliff: the whole request at the price of its tier (pitfall 19)', () => {
  const rates: RateCardConfig = {
    inputUsdPerMillionTokens: '3',
    cacheReadUsdPerMillionTokens: '0.30',
    outputUsdPerMillionTokens: '15',
    contextTiers: [
      {
        overInputTokens: 200_000,
        inputUsdPerMillionTokens: '6',
        cacheReadUsdPerMillionTokens: '0.60',
        outputUsdPerMillionTokens: '22.50',
      },
      { overInputTokens: 500_000, inputUsdPerMillionTokens: '12', outputUsdPerMillionTokens: '45' },
    ],
  };
  it.each<[string, Partial<Usage>, string]>([
    ['199,999', { inputTokens: 199_999, outputTokens: 1_000 }, '0.614997'],
    ['200,000', { inputTokens: 200_000, outputTokens: 1_000 }, '0.615'],
    ['200,001', { inputTokens: 200_001, outputTokens: 1_000 }, '1.222506'],
    ['200,001, most of them cached', { inputTokens: 1, cacheReadTokens: 200_000 }, '0.120006'],
    ['200,001, one of them an image', { inputTokens: 200_000, units: { inputImageTokens: 1 } }, '1.200006'],
    ['500,001', { inputTokens: 500_001 }, '6.000012'],
  ])('%s input tokens', (_, counts, expected) => {
    expect(usd(rates, counts)).toBe(expected);
  });
});

describe('the service tier that was served is billed, whatever was asked for (pitfall 20)', () => {
  const rates: RateCardConfig = {
    inputUsdPerMillionTokens: '2',
    cacheReadUsdPerMillionTokens: '0.50',
    outputUsdPerMillionTokens: '8',
    contextTiers: [{ overInputTokens: 200_000, inputUsdPerMillionTokens: '4', outputUsdPerMillionTokens: '12' }],
    timeBands: [{ fromUtc: '00:00', toUtc: '00:00', inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '1' }],
    serviceTiers: {
      flex: { percentOfStandard: '50' },
      priority: {
        inputUsdPerMillionTokens: '3.50',
        cacheReadUsdPerMillionTokens: '0.875',
        outputUsdPerMillionTokens: '14',
      },
    },
  };
  const counts = { inputTokens: 100_000, cacheReadTokens: 50_000, outputTokens: 1_000 };
  it.each<[string, ServiceTier | undefined, string]>([
    ['flex: half of everything, the cache too', 'flex', '0.1165'],
    ['priority: its own rates', 'priority', '0.40775'],
  ])('%s', (_, tier, expected) => {
    expect(usd(rates, counts, tier)).toBe(expected);
  });

  it('flex asked for and default served is priced as standard', () => {
    const { timeBands: _, ...always } = rates;
    expect(usd(always, counts, 'standard')).toBe('0.233');
    expect(usd(always, counts, undefined)).toBe('0.233');
  });

  it('a tier has its long-context cliff too', () => {
    expect(usd(rates, { inputTokens: 200_000 }, 'flex')).toBe('0.2');
    expect(usd(rates, { inputTokens: 200_001 }, 'flex')).toBe('0.400002');
  });

  it('the time of day does not move a tier', () => {
    expect(usd(rates, { inputTokens: 1_000 }, 'standard')).toBe('0.001');
    expect(usd(rates, { inputTokens: 1_000 }, 'priority')).toBe('0.0035');
  });

  it('a tier that has no price is priced as standard, and said', () => {
    const rated = rate(price(rates), usage({ inputTokens: 1_000 }), { tier: 'batch', atMs: NOON });
    expect(nanosToUsd(rated.cashNanos)).toBe('0.001');
    expect(rated.unpriced).toEqual(['service-tier:batch']);
  });
});

describe('time-of-day prices go by the instant of completion, UTC', () => {
  const rates: RateCardConfig = {
    inputUsdPerMillionTokens: '4',
    timeBands: [
      { fromUtc: '16:30', toUtc: '00:30', inputUsdPerMillionTokens: '1' },
      { fromUtc: '09:00', toUtc: '10:00', inputUsdPerMillionTokens: '2' },
    ],
  };
  it.each([
    ['16:29:59.999', '4'],
    ['16:30:00.000', '1'],
    ['23:59:59.999', '1'],
    ['00:00:00.000', '1'],
    ['00:29:59.999', '1'],
    ['00:30:00.000', '4'],
    ['09:00:00.000', '2'],
    ['09:59:59.999', '2'],
    ['10:00:00.000', '4'],
  ])('%s', (time, expected) => {
    expect(usd(rates, { inputTokens: 1_000_000 }, undefined, Date.parse(`2026-03-01T${time}Z`))).toBe(expected);
  });

  it('of two bands that hold, the first counts', () => {
    const bands = [
      { fromUtc: '08:00', toUtc: '12:30', inputUsdPerMillionTokens: '3' },
      { fromUtc: '00:00', toUtc: '00:00', inputUsdPerMillionTokens: '2' },
    ];
    expect(usd({ ...rates, timeBands: bands }, { inputTokens: 1_000_000 })).toBe('3');
    expect(usd({ ...rates, timeBands: bands.toReversed() }, { inputTokens: 1_000_000 })).toBe('2');
  });
});

describe('what is not text is counted in its own unit', () => {
  const rates: RateCardConfig = {
    inputUsdPerMillionTokens: '2',
    cacheReadUsdPerMillionTokens: '1',
    outputUsdPerMillionTokens: '8',
    inputAudioUsdPerMillionTokens: '32',
    cacheReadAudioUsdPerMillionTokens: '0.40',
    outputAudioUsdPerMillionTokens: '64',
    webSearchUsdPerThousand: '10',
    codeExecutionUsdPerThousand: '0.000001',
    pageUsdPerThousand: '1',
    audioUsdPerHour: '0.36',
  };
  it.each<[string, Partial<Usage>, string]>([
    ['sound in', { units: { inputAudioTokens: 1_000 } }, '0.032'],
    ['sound in, cached', { units: { cacheReadAudioTokens: 1_000 } }, '0.0004'],
    ['sound out', { units: { outputAudioTokens: 1_000 } }, '0.064'],
    ['an image without a rate of its own is input', { units: { inputImageTokens: 1_000 } }, '0.002'],
    ['a cached image without one is a cache hit', { units: { cacheReadImageTokens: 1_000 } }, '0.001'],
    ['a drawn image without one is output', { units: { outputImageTokens: 1_000 } }, '0.008'],
    ['3 searches', { units: { webSearches: 3 } }, '0.03'],
    ['1 run', { units: { codeExecutions: 1 } }, '0.000000001'],
    ['7 pages', { units: { pages: 7 } }, '0.007'],
    ['an hour of sound', { units: { audioMilliseconds: 3_600_000 } }, '0.36'],
    ['a second of it', { units: { audioMilliseconds: 1_000 } }, '0.0001'],
    ['1 ms of it, exact and rounded once', { units: { audioMilliseconds: 1 } }, '0.0000001'],
  ])('%s', (_, counts, expected) => {
    expect(usd(rates, counts)).toBe(expected);
  });

  it('where a cache hit is no cheaper for text, it is none for sound', () => {
    const plain: RateCardConfig = { inputUsdPerMillionTokens: '2', inputAudioUsdPerMillionTokens: '32' };
    expect(usd(plain, { units: { cacheReadAudioTokens: 1_000 } })).toBe('0.032');
  });

  it('what has no rate is said, and priced without it', () => {
    const rated = rate(price(rates), usage({ inputTokens: 1_000, units: { fileSearches: 2, citationTokens: 0 } }), {
      atMs: NOON,
    });
    expect(rated).toMatchObject({ cashNanos: 2_000_000n, unpriced: ['fileSearches'] });
  });

  it('a rate that the source does not give is said when it is needed', () => {
    const cash = { ...card({ audioUsdPerHour: '0.36' }), notPriced: ['input', 'output'] };
    const rated = (counts: Partial<Usage>) => rate({ cash, full: cash }, usage(counts), { atMs: NOON }).unpriced;
    expect(rated({ units: { audioMilliseconds: 1_000 } })).toEqual([]);
    expect(rated({ cacheReadTokens: 5 })).toEqual(['input']);
    expect(rated({ inputTokens: 5, outputTokens: 5 })).toEqual(['input', 'output']);
  });
});

describe('a whole attempt is rounded once, half to even', () => {
  it.each([
    ['0.0375', 1, '0.000000038'], // 37.5 nano
    ['0.0375', 3, '0.000000112'], // 112.5
    ['0.0375', 2, '0.000000075'],
    ['0.0005', 1, '0'], // 0.5
    ['0.000501', 1, '0.000000001'],
    ['0.000499', 1, '0'],
  ])('$%s per 1M, %d tokens', (inputUsdPerMillionTokens, inputTokens, expected) => {
    expect(usd({ inputUsdPerMillionTokens }, { inputTokens })).toBe(expected);
  });

  it('not part by part: two halves of a nano-dollar are one', () => {
    const rates = { inputUsdPerMillionTokens: '0.0005', outputUsdPerMillionTokens: '0.0005' };
    expect(usd(rates, { inputTokens: 1, outputTokens: 1 })).toBe('0.000000001');
  });

  it('half a nano-dollar of sound, a discount and a currency are one rounding', () => {
    const rated = rate(
      price(
        { inputUsdPerMillionTokens: '1', audioUsdPerHour: '1' },
        { accountFactor: '0.875', currency: { code: 'EUR', usdPerUnit: '1.1', rateId: 'EUR-2026-01-01 ECB' } },
      ),
      usage({ inputTokens: 1, units: { audioMilliseconds: 1 } }),
      { atMs: NOON },
    );
    // (1,000 + 1e9 / 3,600) nano-EUR x .875 x 1.1 = 1,229.86
    expect(rated.cashNanos).toBe(BigInt(Math.round((1_000 + 1e6 / 3_600) * 0.875 * 1.1)));
    expect(rated.native).toEqual({
      currency: 'EUR',
      nanos: BigInt(Math.round((1_000 + 1e6 / 3_600) * 0.875)),
      rateId: 'EUR-2026-01-01 ECB',
    });
  });
});

describe('accounts and currencies', () => {
  const rates: RateCardConfig = { inputUsdPerMillionTokens: '2', outputUsdPerMillionTokens: '8' };
  const counts = usage({ inputTokens: 1_000, outputTokens: 1_000 });
  it.each([
    ['a discount of 12.5 %', '0.875', '0.00875'],
    ['a markup of 5.5 %', '1.055', '0.01055'],
    ['neither', undefined, '0.01'],
  ])('%s', (_, accountFactor, expected) => {
    const of = price(rates, accountFactor === undefined ? {} : { accountFactor });
    expect(nanosToUsd(costNanos(of, counts, { atMs: NOON }))).toBe(expected);
  });

  it('another currency is booked in USD at its dated rate, with the native amount and the rate beside it', () => {
    const yen = price(
      { inputUsdPerMillionTokens: '300', outputUsdPerMillionTokens: '1200' },
      { currency: { code: 'JPY', usdPerUnit: '0.0066', rateId: 'JPY-2026-06-01 BoJ' } },
    );
    expect(rate(yen, counts, { atMs: NOON })).toMatchObject({
      cashNanos: 9_900_000n,
      native: { currency: 'JPY', nanos: 1_500_000_000n, rateId: 'JPY-2026-06-01 BoJ' },
    });
  });
});

describe('own hardware has three prices', () => {
  it('pays nobody, costs its share of everything, and adds a little', () => {
    const of = price(
      {},
      {
        full: card({ inputUsdPerMillionTokens: '0.0603', outputUsdPerMillionTokens: '0.3003' }),
        marginal: card({ inputUsdPerMillionTokens: '0.004', outputUsdPerMillionTokens: '0.016' }),
      },
    );
    expect(rate(of, usage({ inputTokens: 1_000, outputTokens: 1_000 }), { atMs: NOON })).toMatchObject({
      cashNanos: 0n,
      fullNanos: 360_600n,
      marginalNanos: 20_000n,
    });
  });

  it('a cloud backend has one', () => {
    const rated = rate(price({ inputUsdPerMillionTokens: '2' }), usage({ inputTokens: 5 }), { atMs: NOON });
    expect([rated.fullNanos, rated.marginalNanos]).toEqual([rated.cashNanos, rated.cashNanos]);
  });
});

describe('over random prices and usages', () => {
  const random = seededRandom(17);
  const upTo = (max: number): number => Math.floor(random() * max);
  const someRates = (): RateCardConfig => ({
    inputUsdPerMillionTokens: (random() * 20).toFixed(3),
    cacheReadUsdPerMillionTokens: (random() * 5).toFixed(3),
    cacheWrite5mUsdPerMillionTokens: (random() * 25).toFixed(3),
    cacheWrite1hUsdPerMillionTokens: (random() * 40).toFixed(3),
    outputUsdPerMillionTokens: (random() * 80).toFixed(3),
    reasoningUsdPerMillionTokens: (random() * 80).toFixed(3),
    webSearchUsdPerThousand: (random() * 20).toFixed(3),
  });
  const someUsage = (): Usage => {
    const outputTokens = upTo(5_000);
    return usage({
      inputTokens: upTo(9_000),
      cacheReadTokens: upTo(9_000),
      cacheWrite5mTokens: upTo(900),
      cacheWrite1hTokens: upTo(900),
      outputTokens,
      reasoningTokens: upTo(outputTokens + 1),
      units: { webSearches: upTo(4) },
    });
  };
  const sum = (a: Usage, b: Usage): Usage => ({
    inputTokens: a.inputTokens + b.inputTokens,
    cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
    cacheWrite5mTokens: a.cacheWrite5mTokens + b.cacheWrite5mTokens,
    cacheWrite1hTokens: a.cacheWrite1hTokens + b.cacheWrite1hTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    reasoningTokens: (a.reasoningTokens ?? 0) + (b.reasoningTokens ?? 0),
    requests: a.requests + b.requests,
    units: { webSearches: (a.units?.webSearches ?? 0) + (b.units?.webSearches ?? 0) },
  });

  it('within one table, the cost of two usages together is the sum of their costs', () => {
    // Rates of three digits are whole nano-USD a token, so nothing is rounded.
    for (let i = 0; i < 1_000; i++) {
      const of = price(someRates());
      const [a, b] = [someUsage(), someUsage()];
      const cost = (u: Usage): bigint => costNanos(of, u, { atMs: NOON });
      expect(cost(sum(a, b))).toBe(cost(a) + cost(b));
    }
  });

  it('no count lowers the cost when it grows', () => {
    const counts = [
      'inputTokens',
      'cacheReadTokens',
      'cacheWrite5mTokens',
      'cacheWrite1hTokens',
      'outputTokens',
    ] as const;
    for (let i = 0; i < 1_000; i++) {
      const of = price(someRates(), { accountFactor: (0.5 + random()).toFixed(6) });
      const before = someUsage();
      const count = counts[upTo(counts.length)]!;
      const after = { ...before, [count]: before[count] + upTo(100) };
      expect(costNanos(of, after, { atMs: NOON })).toBeGreaterThanOrEqual(costNanos(of, before, { atMs: NOON }));
    }
  });

  it('rounding never loses or makes half a nano-dollar', () => {
    for (let i = 0; i < 1_000; i++) {
      const rates = {
        inputUsdPerMillionTokens: (random() * 20).toFixed(6),
        outputUsdPerMillionTokens: (random() * 80).toFixed(6),
      };
      const counts = { inputTokens: upTo(9_000), outputTokens: upTo(9_000) };
      const { cash } = price(rates);
      const exactPicos =
        BigInt(cash.inputPicosPerToken) * BigInt(counts.inputTokens) +
        BigInt(cash.outputPicosPerToken) * BigInt(counts.outputTokens);
      const difference = exactPicos - costNanos(price(rates), usage(counts), { atMs: NOON }) * 1_000n;
      expect(difference <= 500n && difference >= -500n).toBe(true);
    }
  });
});

describe('a charge that the provider stated', () => {
  const rates: RateCardConfig = { inputUsdPerMillionTokens: '3', outputUsdPerMillionTokens: '15' };
  const stated = (picos: string) => usage({ inputTokens: 1_000, outputTokens: 10, statedPicos: picos });

  it('is what was paid, whatever the tokens would cost, rounded once, half to even', () => {
    for (const [picos, nanos] of [
      ['2000', 2n],
      ['2500', 2n],
      ['3500', 4n],
      ['0', 0n],
    ] as const)
      expect(rate(price(rates), stated(picos), { atMs: NOON })).toMatchObject({ cashNanos: nanos, fullNanos: nanos });
  });

  it('has the factor of the account, and no exchange, since it is in USD', () => {
    const euros = { code: 'EUR', usdPerUnit: '1.2', rateId: 'ecb' };
    const cost = rate(price(rates, { accountFactor: '1.055', currency: euros }), stated('1000000'), { atMs: NOON });
    expect(cost.cashNanos).toBe(1_055n);
    expect(cost.native).toBeUndefined();
  });

  it('leaves what is beside cash in the full cost, and has no part without a price', () => {
    const full = { ...card(rates), requestPicos: '5000000' };
    const unpriced = { ...stated('1000000'), units: { webSearches: 3 } };
    const cost = rate({ ...price(rates), full }, unpriced, { atMs: NOON });
    expect(cost).toMatchObject({ cashNanos: 1_000n, fullNanos: 6_000n, unpriced: [] });
  });
});
