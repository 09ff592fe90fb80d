import { describe, expect, it } from 'vitest';
import type { PriceVersion, RateCardConfig, RateTableConfig, ServiceTier, Usage } from '@meritorder/contracts';
import { nanosToUsd, seededRandom } from '@meritorder/kernel';
import { boundExceeds, boundNanos, boundOf, boundOfEither, rate, type Allowed } from './index.js';
import { card, NOON, price, usage } from './prices.for-tests.js';

const bound = (of: PriceVersion, allows: Allowed, maxTokens = 0): string =>
  nanosToUsd(boundNanos(boundOf(of, allows).cash, maxTokens));

describe('the largest cost that a request allows', () => {
  const tiered: RateCardConfig = {
    inputUsdPerMillionTokens: '3',
    outputUsdPerMillionTokens: '15',
    contextTiers: [{ overInputTokens: 200_000, inputUsdPerMillionTokens: '6', outputUsdPerMillionTokens: '22.50' }],
  };
  it.each<[string, RateCardConfig, Allowed, number, string]>([
    [
      'a short prompt is out of reach of the long-context tier',
      tiered,
      { inputTokensBound: 200_000, choices: 1 },
      1_000,
      '0.615',
    ],
    ['one that may be long is not', tiered, { inputTokensBound: 200_001, choices: 1 }, 1_000, '1.222506'],
    ['each choice is as long as allowed', tiered, { inputTokensBound: 0, choices: 3 }, 1_000, '0.045'],
    [
      'input may be written to the cache for an hour',
      { inputUsdPerMillionTokens: '3', cacheWrite1hUsdPerMillionTokens: '6' },
      { inputTokensBound: 1_000, choices: 1 },
      0,
      '0.006',
    ],
    [
      'reasoning may be dearer than the answer',
      { outputUsdPerMillionTokens: '2', reasoningUsdPerMillionTokens: '8' },
      { inputTokensBound: 0, choices: 1 },
      1_000,
      '0.008',
    ],
    [
      'any time of day may come',
      {
        inputUsdPerMillionTokens: '1',
        timeBands: [{ fromUtc: '01:00', toUtc: '04:00', inputUsdPerMillionTokens: '2' }],
      },
      { inputTokensBound: 1_000_000, choices: 1 },
      0,
      '2',
    ],
    [
      'the dearest tier may be served',
      { inputUsdPerMillionTokens: '2', serviceTiers: { priority: { inputUsdPerMillionTokens: '3.50' } } },
      { inputTokensBound: 1_000_000, choices: 1 },
      0,
      '3.5',
    ],
    [
      'but not where the caller named the standard one',
      { inputUsdPerMillionTokens: '2', serviceTiers: { priority: { inputUsdPerMillionTokens: '3.50' } } },
      { inputTokensBound: 1_000_000, choices: 1, standardTierOnly: true },
      0,
      '2',
    ],
    [
      'nor in a batch, where its own tier is billed',
      {
        inputUsdPerMillionTokens: '2',
        serviceTiers: { batch: { percentOfStandard: '50' }, priority: { inputUsdPerMillionTokens: '3.50' } },
      },
      { inputTokensBound: 1_000_000, choices: 1, batchTierOnly: true },
      0,
      '1',
    ],
    ['a request has its fee', { requestUsd: '0.005' }, { inputTokensBound: 0, choices: 1 }, 0, '0.005'],
    [
      'searches and sound at their most',
      { webSearchUsdPerThousand: '10', audioUsdPerHour: '0.36' },
      { inputTokensBound: 0, choices: 1, units: { webSearches: 5, audioMilliseconds: 3_600_000 } },
      0,
      '0.41',
    ],
    [
      'every input token may be sound where sound is allowed',
      { inputUsdPerMillionTokens: '2', inputAudioUsdPerMillionTokens: '32' },
      { inputTokensBound: 1_000, choices: 1, inputModalities: ['audio'] },
      0,
      '0.032',
    ],
    [
      'and every output token',
      { outputUsdPerMillionTokens: '8', outputAudioUsdPerMillionTokens: '64' },
      { inputTokensBound: 0, choices: 1, outputModalities: ['audio'] },
      1_000,
      '0.064',
    ],
    ['rounds up', { inputUsdPerMillionTokens: '0.000001' }, { inputTokensBound: 1, choices: 1 }, 0, '0.000000001'],
  ])('%s', (_, rates, allows, maxTokens, expected) => {
    expect(bound(price(rates), allows, maxTokens)).toBe(expected);
  });

  it('of a 300K prompt is at least what it costs, however much of it is cached (pitfall 19)', () => {
    const of = price(tiered);
    for (const cacheReadTokens of [0, 100_000, 299_999]) {
      const actual = rate(of, usage({ inputTokens: 300_000 - cacheReadTokens, cacheReadTokens, outputTokens: 4_096 }), {
        atMs: NOON,
      });
      const held = boundNanos(boundOf(of, { inputTokensBound: 300_000, choices: 1 }).cash, 4_096);
      expect(held).toBeGreaterThanOrEqual(actual.cashNanos);
    }
  });

  it('is in USD at the account and exchange rate', () => {
    const of = price(
      { inputUsdPerMillionTokens: '300' },
      { accountFactor: '0.875', currency: { code: 'JPY', usdPerUnit: '0.0066', rateId: 'JPY-2026-06-01 BoJ' } },
    );
    expect(bound(of, { inputTokensBound: 1_000_000, choices: 1 })).toBe('1.7325');
  });

  it('of two prices is the larger in every part', () => {
    const [a, b] = [
      price({ inputUsdPerMillionTokens: '4', outputUsdPerMillionTokens: '1' }),
      price({ inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '4' }),
    ].map((of) => boundOf(of, { inputTokensBound: 1_000, choices: 1 }));
    expect(boundOfEither(a!, b!).cash).toEqual({ fixedNanos: 4_000_000n, perOutputTokenNanos: 4_000n });
  });
});

it('no usage that a request allows costs more than its bound: any price, tier, time of day, kind of token (invariant 2)', () => {
  const random = seededRandom(23);
  const upTo = (max: number): number => Math.floor(random() * (max + 1));
  const maybe = <T>(share: number, value: () => T): T | undefined => (random() < share ? value() : undefined);
  const usd = (most: number): string => (random() * most).toFixed(upTo(6));
  const table = (): RateTableConfig => ({
    inputUsdPerMillionTokens: usd(20),
    outputUsdPerMillionTokens: usd(80),
    cacheReadUsdPerMillionTokens: maybe(0.7, () => usd(20)),
    cacheWrite5mUsdPerMillionTokens: maybe(0.5, () => usd(40)),
    cacheWrite1hUsdPerMillionTokens: maybe(0.5, () => usd(40)),
    reasoningUsdPerMillionTokens: maybe(0.2, () => usd(90)),
    inputAudioUsdPerMillionTokens: maybe(0.3, () => usd(90)),
    cacheReadAudioUsdPerMillionTokens: maybe(0.3, () => usd(90)),
    outputAudioUsdPerMillionTokens: maybe(0.3, () => usd(90)),
    webSearchUsdPerThousand: maybe(0.5, () => usd(30)),
    audioUsdPerHour: maybe(0.3, () => usd(5)),
    requestUsd: maybe(0.3, () => usd(0.1)),
    contextTiers: maybe(0.5, () => [
      { overInputTokens: 3_000, inputUsdPerMillionTokens: usd(20), outputUsdPerMillionTokens: usd(80) },
      { overInputTokens: 6_000, inputUsdPerMillionTokens: usd(20), cacheReadUsdPerMillionTokens: usd(20) },
    ]),
  });
  const TIERS: (ServiceTier | undefined)[] = [undefined, 'standard', 'batch', 'flex', 'priority'];
  let nearest = 0;
  for (let i = 0; i < 4_000; i++) {
    const rates: RateCardConfig = {
      ...table(),
      timeBands: maybe(0.4, () => [{ fromUtc: '22:00', toUtc: '06:00', ...table() }]),
      serviceTiers: maybe(0.5, () => ({ flex: table(), priority: table() })),
    };
    const of = price(rates, {
      full: card({ ...table() }),
      ...maybe(0.3, () => ({ accountFactor: (0.5 + random()).toFixed(6) })),
      ...maybe(0.3, () => ({ currency: { code: 'EUR', usdPerUnit: (0.01 + random()).toFixed(6), rateId: 'r' } })),
    });
    const sound = random() < 0.5;
    const allows: Allowed = {
      inputTokensBound: 1 + upTo(9_000),
      choices: 1 + upTo(3),
      units: { webSearches: upTo(5), audioMilliseconds: upTo(600_000) },
      standardTierOnly: random() < 0.3,
      batchTierOnly: random() < 0.2,
      ...(sound ? { inputModalities: ['audio'], outputModalities: ['audio'] } : {}),
    };
    const maxTokens = 1 + upTo(5_000);

    // Any usage within what is allowed, often right at its edge.
    const cuts = Array.from({ length: 5 }, () => upTo(allows.inputTokensBound)).sort((a, b) => a - b);
    const output = random() < 0.3 ? maxTokens * allows.choices : upTo(maxTokens * allows.choices);
    const spoken = sound ? upTo(output) : 0;
    const used: Usage = usage({
      inputTokens: cuts[0]!,
      cacheReadTokens: cuts[1]! - cuts[0]!,
      cacheWrite5mTokens: cuts[2]! - cuts[1]!,
      cacheWrite1hTokens: cuts[3]! - cuts[2]!,
      outputTokens: output - spoken,
      reasoningTokens: upTo(output - spoken),
      units: {
        ...(sound
          ? {
              inputAudioTokens: cuts[4]! - cuts[3]!,
              cacheReadAudioTokens: allows.inputTokensBound - cuts[4]!,
              outputAudioTokens: spoken,
            }
          : {}),
        webSearches: upTo(allows.units!.webSearches!),
        audioMilliseconds: upTo(allows.units!.audioMilliseconds!),
      },
    });
    const tier = allows.batchTierOnly ? 'batch' : allows.standardTierOnly ? TIERS[upTo(1)] : TIERS[upTo(4)];
    const rated = rate(of, used, { tier, atMs: NOON + upTo(86_400_000) });
    const most = boundOf(of, allows);
    const cash = boundNanos(most.cash, maxTokens);
    // The same price asked for something else in between, and one that nothing is remembered of, are bounded alike.
    boundOf(of, { inputTokensBound: upTo(9_000), choices: 1, standardTierOnly: random() < 0.5 });
    expect(boundOf(of, allows)).toEqual(boundOf(structuredClone(of), allows));
    const withoutUnits = random() < 0.5 ? { ...allows, units: {} } : allows;
    for (const basis of ['cash', 'full'] as const) {
      const exactly = boundNanos(boundOf(of, withoutUnits)[basis], maxTokens);
      for (const exact of [0n, exactly - 1n, exactly, exactly + 1n, exactly * 2n, BigInt(upTo(1e9))])
        expect(boundExceeds(of, withoutUnits, basis, maxTokens, { exact, float: Number(exact) })).toBe(exactly > exact);
    }
    expect(rated.cashNanos, JSON.stringify({ of, allows, used, tier })).toBeLessThanOrEqual(cash);
    expect(rated.fullNanos).toBeLessThanOrEqual(boundNanos(most.full, maxTokens));
    nearest = Math.max(nearest, Number(rated.cashNanos) / Number(cash));
  }
  // A bound of infinity would pass as well.
  expect(nearest).toBeGreaterThan(0.9);
});

it('a single kind of token at its most costs the bound, but for the rounding of a token', () => {
  const random = seededRandom(29);
  for (let i = 0; i < 500; i++) {
    const of = price({
      inputUsdPerMillionTokens: (random() * 20).toFixed(6),
      outputUsdPerMillionTokens: (random() * 80).toFixed(6),
    });
    const [input, output] = [Math.floor(random() * 9_000), Math.floor(random() * 5_000)];
    const actual = rate(of, usage({ inputTokens: input, outputTokens: output }), { atMs: NOON }).cashNanos;
    const held = boundNanos(boundOf(of, { inputTokensBound: input, choices: 1 }).cash, output);
    expect(held - actual).toBeLessThanOrEqual(BigInt(output) + 1n);
  }
});
