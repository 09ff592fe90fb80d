import { EXAMPLES, MeritorderConfig, type PriceVersion } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { generatedRequests, requestsOfCsv, simulate, type SimulatedRequest } from './index.js';

const START = Date.parse('2026-11-01T00:00:00Z');
const price = (backend: string, inputPicos: number, outputPicos: number): PriceVersion => {
  const { version } = EXAMPLES.events['price.version-published.v1'];
  const rates = {
    inputPicosPerToken: String(inputPicos),
    cacheReadPicosPerToken: '0',
    cacheWrite5mPicosPerToken: '0',
    cacheWrite1hPicosPerToken: '0',
    outputPicosPerToken: String(outputPicos),
    requestPicos: '0',
  };
  return {
    ...version,
    id: `pv-${backend}`,
    backend,
    effectiveFrom: '2025-01-01T00:00:00.000Z',
    cash: rates,
    full: rates,
  };
};
const PRICES = new Map([
  ['small', [price('small', 400_000, 1_600_000)]],
  ['large', [price('large', 2_000_000, 8_000_000)]],
  ['own', [price('own', 0, 0)]],
]);
const config = (more: Record<string, unknown> = {}): MeritorderConfig =>
  MeritorderConfig.parse({
    version: 1,
    orgs: [{ id: 'acme' }],
    backends: ['small', 'large', 'own'].map((id) => ({
      id,
      kind: id === 'own' ? 'local' : 'cloud',
      ...(id === 'own' ? { host: 'gpu-1', maxConcurrency: 4 } : {}),
      provider: 'p',
      model: id,
      baseUrl: 'http://127.0.0.1:1',
      contextTokens: 100_000,
      maxOutputTokens: 1_000,
      quality: { prior: id === 'large' ? 0.9 : 0.7 },
    })),
    routes: [
      { id: 'auto', backends: ['small', 'large'] },
      { id: 'best', backends: ['small', 'large'], objective: 'value', usdPerQualityPoint: '1', exploration: false },
      { id: 'own-first', backends: ['own', 'small'] },
    ],
    ...more,
  });
const budget = (limitUsd: string, more: object = {}) => ({
  id: 'month',
  selector: { org: 'acme' },
  window: 'month',
  limitUsd,
  pacing: 'off',
  ...more,
});
const everySeconds = (count: number, seconds: number, route: string): SimulatedRequest[] =>
  Array.from({ length: count }, (_, i) => ({
    atMs: START + i * seconds * 1_000,
    attribution: { org: 'acme' },
    route,
    inputTokens: 1_000,
    outputTokens: 100,
  }));
const run = (traffic: Iterable<SimulatedRequest>, more: Record<string, unknown> = {}) =>
  simulate({ config: config(more), prices: PRICES }, traffic);

describe('a simulated policy', () => {
  it('costs what its tokens cost, to the nano-dollar', () => {
    // 1,000 x 400 + 100 x 1,600 nano-dollars.
    expect(run(everySeconds(50, 60, 'auto'))).toMatchObject({ answered: 50, cashNanos: String(50 * 560_000) });
  });

  it('takes the better backend where quality is worth it, at its price', () => {
    const report = run(everySeconds(50, 60, 'best'));
    expect(report).toMatchObject({ shares: { large: 1 }, cashNanos: String(50 * 2_800_000) });
    expect(report.quality).toBeCloseTo(0.9, 12);
  });

  it('says when a cap bound first, never overruns it, and rejects what does not fit', () => {
    // A hold is 1,000 x 400 + 1,000 x 1,600 = 2,000,000 nano-dollars at most, and at least 64 x 1,600 with the input.
    // 560,000 each: 17 settle to 9.52 M of 10 M; the next needs 502,400 and finds 480,000.
    const report = run(everySeconds(30, 600, 'auto'), { budgets: [budget('0.01')] });
    expect(report.answered).toBe(17);
    expect(report.rejected).toEqual({ budget_exhausted: 13 });
    expect(report.budgets[0]).toMatchObject({
      firstBoundAt: new Date(START + 17 * 600_000).toISOString(),
      bound: 13,
      overshootNanos: '0',
    });
  });

  it('a day cap that is spent sends traffic to own hardware, and it is back the next day', () => {
    const traffic = everySeconds(48, 3_600, 'cloud-first').map((r) => ({ ...r, route: 'best-or-own' }));
    const routes = [
      {
        id: 'best-or-own',
        backends: ['large', 'own'],
        objective: 'value',
        usdPerQualityPoint: '1',
        exploration: false,
      },
    ];
    const { shares, rejected } = run(traffic, { routes, budgets: [budget('0.014', { window: 'day' })] });
    // 2.8 M each of 14 M a day: 4 fit with their holds, then own hardware, which costs no cash.
    expect(rejected).toEqual({});
    expect(shares['large']! * 48).toBeGreaterThanOrEqual(8);
    expect(shares['own']).toBeGreaterThan(0.5);
  });

  it('always pacing spends less of a scarce month early and never overruns it', () => {
    const traffic = (): Iterable<SimulatedRequest> =>
      generatedRequests({ requests: 20_000, days: 30, startMs: START, seed: 3, org: 'acme', route: 'best' });
    const limit = '20';
    const off = run(traffic(), { budgets: [budget(limit)] });
    const paced = run(traffic(), { budgets: [budget(limit, { pacing: 'always' })] });
    expect(off.budgets[0]!.overshootNanos).toBe('0');
    expect(paced.budgets[0]!.overshootNanos).toBe('0');
    expect(paced.budgets[0]!.policyChanges).toBeGreaterThan(0);
    expect(paced.answered).toBeGreaterThan(off.answered);
    expect(paced.quality).toBeGreaterThan(off.quality);
  });

  it('own hardware that fills leaves requests to the cloud, and takes them when idle', () => {
    const crowd = everySeconds(400, 0.05, 'own-first');
    const calm = everySeconds(50, 120, 'own-first').map((r) => ({ ...r, atMs: r.atMs + 86_400_000 }));
    expect(run(calm).localShare).toBe(1);
    expect(run(crowd).localShare).toBeLessThan(0.5);
  });

  it('is the same again with the same seed', () => {
    const traffic = (): Iterable<SimulatedRequest> =>
      generatedRequests({ requests: 3_000, days: 2, startMs: START, seed: 5, org: 'acme', route: 'own-first' });
    expect(run(traffic(), { budgets: [budget('0.5')] })).toEqual(run(traffic(), { budgets: [budget('0.5')] }));
  });
});

it('a trace is read with its attributes, and what is wrong is named by line', () => {
  const csv = 'TIMESTAMP,ContextTokens,GeneratedTokens,tier\n2023-11-16 18:17:03.9799600,4808,10,free\n';
  expect(requestsOfCsv(csv, { org: 'acme', route: 'auto' })).toEqual([
    {
      atMs: Date.parse('2023-11-16T18:17:03.979Z'),
      attribution: { org: 'acme', tier: 'free' },
      route: 'auto',
      inputTokens: 4_808,
      outputTokens: 10,
    },
  ]);
  const read = (text: string) => () => requestsOfCsv(text, { org: 'acme', route: 'auto' });
  expect(read('a,b\n')).toThrow(/line 1: no column TIMESTAMP/);
  expect(read('TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16,x,1\n')).toThrow(/line 2: ContextTokens is "x"/);
});
