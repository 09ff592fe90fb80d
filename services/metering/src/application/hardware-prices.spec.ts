import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { HostConfig, MeritorderConfig, type BackendConfig } from '@meritorder/contracts';
import { EMPTY_FIT, observeSpeed, type ThroughputFit } from '@meritorder/hardware-core';
import { judgeVersion, planIntake, type BookEntry, type Intake, type PriceProposal } from '@meritorder/pricing-core';
import { fitOf, hardwareProposals } from './hardware-prices.js';
import { shouldReprice, type RepriceQuestion } from './hardware-reprice.js';

const NOW = Date.parse('2026-11-24T10:00:00Z');
const HOUR = 3_600_000;
const power = { idleWattsPerGpu: 90, loadWattsPerGpu: 700, pue: 1.2, usdPerKilowattHour: '0.20' };
const host = (over: object = {}): HostConfig =>
  HostConfig.parse({ id: 'gpu-1', gpus: 4, rented: { usdPerGpuHour: '2.50' }, power, ...over });
const backend = (over: object = {}): BackendConfig =>
  MeritorderConfig.parse({
    version: 1,
    orgs: [{ id: 'acme' }],
    hosts: [host()],
    backends: [
      {
        id: 'llama',
        kind: 'local',
        provider: 'acme-gpus',
        host: 'gpu-1',
        model: 'llama',
        baseUrl: 'http://127.0.0.1:1/v1',
        contextTokens: 10,
        maxOutputTokens: 5,
        throughput: { gpus: 4, prefillTokensPerSecond: 20_000, decodeTokensPerSecond: 2_000, batch: 32 },
        ...over,
      },
    ],
  }).backends[0]!;
const fitted = (decodeTokensPerSecond: number): ThroughputFit => {
  const one = {
    timings: {
      prefillTokens: 1_000,
      prefillMs: 50,
      decodeTokens: 100,
      decodeMs: (100 * 32 * 1_000) / decodeTokensPerSecond,
    },
    usage: undefined,
    concurrency: 32,
  };
  return Array.from({ length: 40 }, () => one).reduce((fit, o) => observeSpeed(fit, o, 'uncached'), EMPTY_FIT);
};
/** The price book's own plan, with the guard that stands before it. */
const take = (book: BookEntry[], proposals: PriceProposal[], nowMs: number): Intake =>
  planIntake({
    book,
    proposals,
    origin: 'config',
    complete: true,
    nowMs,
    sha256Hex: (text) => createHash('sha256').update(text).digest('hex'),
    judge: (previous, proposed, derived) =>
      judgeVersion({ previous, proposed, zeroIsExplicit: !derived, backend: backend(), peers: [] }),
  });

describe('the price of a local backend without written prices', () => {
  it('rests on its host’s costs and its engine’s speed, with zero cash, and passes the guard', () => {
    const proposals = hardwareProposals(backend(), [host()], NOW);
    expect(proposals).toMatchObject([
      {
        backend: 'llama',
        derived: true,
        effectiveFrom: null,
        cash: { inputPicosPerToken: '0', outputPicosPerToken: '0' },
      },
    ]);
    // ($10 + 4 x 90 W x 1.2 at $0.20) over 60 % of four GPU-hours, and 610 W x 1.2 at $0.20 a busy GPU-hour: 4.3450 x 4 / 3.6.
    const full = Number(proposals[0]!.full.outputPicosPerToken) / 1e6;
    expect(full).toBeCloseTo((((10 + 0.0864) / 2.4 + 0.1464) * 4 * 1e6) / 3_600 / 2_000, 5);
    const { insert } = take([], proposals, NOW);
    expect(insert).toMatchObject([{ entry: { status: 'accepted' }, reasons: [] }]);
  });

  it('says what it rests on: practical capacity, rates, batch, and whether they are fitted', () => {
    expect(hardwareProposals(backend(), [host()], NOW)[0]!.source).toBe(
      'cost of host gpu-1 at practical capacity 0.6 of available time; replica of 4 GPUs; prefill 20000 tokens/s of uncached input (configured); decode 2000 tokens/s at batch 32 (configured)',
    );
    expect(hardwareProposals(backend(), [host()], NOW, fitted(2_500))[0]!.source).toMatch(
      /prefill 20000 tokens\/s of uncached input \(fitted\); decode 2500 tokens\/s at batch 32 \(fitted\); fitted from 40 attempts/,
    );
  });

  it('is there only where its host and its speed are: a missing price is not zero', () => {
    expect(hardwareProposals(backend(), [], NOW)).toEqual([]);
    expect(hardwareProposals(backend({ throughput: undefined }), [host()], NOW)).toEqual([]);
  });

  it('taken again, also later in the year, adds nothing to the book', () => {
    const first = take([], hardwareProposals(backend(), [host()], NOW), NOW).insert.map((i) => i.entry);
    const later = NOW + 90 * 24 * HOUR;
    expect(take(first, hardwareProposals(backend(), [host()], later), later)).toEqual({
      insert: [],
      withdraw: [],
      restore: [],
    });
  });

  it('with a tariff by time of use has a second version from when clocks change', () => {
    const tariff = [{ fromHour: 22, toHour: 6, usdPerKilowattHour: '0.10' }];
    const berlin = host({ power: { ...power, timeZone: 'Europe/Berlin', tariff } });
    const proposals = hardwareProposals(backend(), [berlin], NOW);
    expect(proposals.map((p) => [p.effectiveFrom, p.full.timeBands![0]!.fromUtc])).toEqual([
      [null, '05:00'],
      ['2027-03-28T01:00:00.000Z', '04:00'],
    ]);
    const book = take([], proposals, NOW).insert.map((i) => i.entry);
    expect(book.map((e) => e.status)).toEqual(['accepted', 'accepted']);
    // After the change the version that was announced is in force, and nothing is added but the next change.
    const spring = Date.parse('2027-04-10T00:00:00Z');
    const { insert } = take(book, hardwareProposals(backend(), [berlin], spring), spring);
    expect(insert.map((i) => i.entry.version.effectiveFrom)).toEqual(['2027-10-31T01:00:00.000Z']);
  });

  it('a state that another version wrote is begun anew', () => {
    expect(fitOf(null)).toBeUndefined();
    expect(fitOf({ version: 0 })).toBeUndefined();
    expect(fitOf(JSON.parse(JSON.stringify(fitted(2_000))))).toEqual(fitted(2_000));
  });
});

describe('a derived price follows the engine and its host', () => {
  const version = (fit?: ThroughputFit) =>
    take([], hardwareProposals(backend(), [host()], NOW, fit), NOW).insert[0]!.entry.version;
  const ask = (over: Partial<RepriceQuestion>): boolean =>
    shouldReprice({
      backend: backend(),
      hosts: [host()],
      published: [version()],
      latest: fitted(2_200),
      pricedAtMs: undefined,
      nowMs: NOW,
      ...over,
    });

  it.each<[string, boolean, Partial<RepriceQuestion>]>([
    ['when a rate moved by 10 %', true, {}],
    ['not when it moved by 3 %', false, { latest: fitted(2_060) }],
    ['not before an hour has passed', false, { pricedAtMs: NOW - HOUR + 1 }],
    ['an hour later', true, { pricedAtMs: NOW - HOUR }],
    ['not while nothing is known', false, { latest: undefined }],
    [
      'when its host costs otherwise, without any fit too',
      true,
      { latest: undefined, hosts: [host({ rented: { usdPerGpuHour: '2.75' } })] },
    ],
    ['not when the price is that of the fit already', false, { published: [version(fitted(2_200))] }],
    ['not where fit is off', false, { backend: backend({ throughput: { ...backend().throughput, fit: false } }) }],
    [
      'not where prices are written',
      false,
      {
        backend: backend({
          prices: [
            {
              effectiveFrom: '2025-01-01T00:00:00Z',
              cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' },
            },
          ],
        }),
      },
    ],
    ['not where there is no price yet', false, { published: [] }],
  ])('%s', (_name, expected, over) => {
    expect(ask(over)).toBe(expected);
  });
});
