import type { CandidateMeans, CustomerCosts, RequestOutcome, SegmentCosts } from '@meritorder/ledger-store';
import { describe, expect, it } from 'vitest';
import { marginReport, type MarginFacts } from './margin-report.js';

const DAY_MS = 86_400_000;
const TO = new Date('2026-11-25T00:00:00Z');
const FROM = new Date(TO.getTime() - 30 * DAY_MS);

const costs = (more: Partial<SegmentCosts>): SegmentCosts => ({
  org: 'acme',
  tier: 'gold',
  feature: 'chat',
  backend: 'small',
  attempts: 10,
  requests: 10,
  finished: 10,
  atMs: TO.getTime() - 20 * DAY_MS,
  cashNanos: 1_000n,
  fullNanos: 1_000n,
  unconfirmedNanos: 0n,
  chargedNanos: null,
  ...more,
});
const customer = (name: string, fullNanos: bigint, chargedNanos: bigint | null): CustomerCosts => ({
  org: 'acme',
  customer: name,
  attempts: 1,
  requests: 1,
  cashNanos: fullNanos,
  fullNanos,
  unconfirmedNanos: 0n,
  chargedNanos,
});
const outcome = (requestId: string, more: Partial<RequestOutcome> = {}): RequestOutcome => ({
  org: 'acme',
  tier: 'gold',
  feature: 'chat',
  customer: null,
  backend: 'small',
  requestId,
  decidedAtMs: TO.getTime() - 20 * DAY_MS,
  isConversion: true,
  converted: true,
  revenueNanos: 2_000_000_000n,
  occurredAtMs: TO.getTime() - 19 * DAY_MS,
  ...more,
});
const means = (backend: string, marginalUsd: number, more: Partial<CandidateMeans> = {}): CandidateMeans => ({
  org: 'acme',
  tier: 'gold',
  feature: 'chat',
  backend,
  marginalUsd,
  quality: 0.8,
  shadowPrice: 0,
  revenueUsd: 0,
  revenueConfiguredUsd: null,
  ...more,
});
const report = (facts: Partial<MarginFacts>) =>
  marginReport({ costs: [], customers: [], outcomes: [], candidates: [], ...facts }, { from: FROM, to: TO });

describe('the margin report', () => {
  it('adds up exactly, and lists who loses most money first, then who costs most', () => {
    const { rows, customers, total } = report({
      costs: [
        costs({ feature: 'quiet', fullNanos: 9_007_199_254_740_993n }),
        costs({ feature: 'fine', fullNanos: 600n, chargedNanos: 700n }),
        costs({ feature: 'loss', fullNanos: 400n, chargedNanos: 300n }),
        costs({ feature: 'loss', fullNanos: 400n, chargedNanos: 399n, unconfirmedNanos: 400n }),
        costs({ feature: 'small loss', fullNanos: 50n, chargedNanos: 0n }),
      ],
      customers: [customer('good', 10n, 20n), customer('bad', 10n, 9n), customer('own', 90n, null)],
    });
    expect(rows.map((r) => [r.feature, r.marginNanos])).toEqual([
      ['loss', '-101'],
      ['small loss', '-50'],
      ['quiet', null],
      ['fine', '100'],
    ]);
    expect(rows[0]).toMatchObject({ requests: 20, fullNanos: '800', chargedNanos: '699', unconfirmedNanos: '400' });
    expect(customers.map((c) => [c.customer, c.marginNanos])).toEqual([
      ['bad', '-1'],
      ['own', null],
      ['good', '10'],
    ]);
    expect(total.fullNanos).toBe((9_007_199_254_740_993n + 1_450n).toString());
  });

  it('revenue that was reported counts, refunds too, for the segment, the customer and in all', () => {
    const { rows, customers, total } = report({
      costs: [costs({ fullNanos: 500_000_000n })],
      customers: [customer('initech', 500_000_000n, null)],
      outcomes: [
        outcome('a', { customer: 'initech' }),
        outcome('a', { customer: 'initech', converted: false, revenueNanos: -1_800_000_000n }),
        outcome('b', { converted: false, revenueNanos: null }),
      ],
    });
    expect(rows[0]).toMatchObject({
      revenueNanos: '200000000',
      marginNanos: '-300000000',
      conversion: { converted: 0 },
    });
    expect(customers[0]).toMatchObject({ customer: 'initech', marginNanos: '-300000000' });
    expect(total.revenueNanos).toBe('200000000');
  });

  it('conversion rates have an interval that holds what was counted, and say whether there is enough', () => {
    const many = Array.from({ length: 300 }, (_, i) => outcome(`m${i}`));
    const { rows } = report({
      costs: [
        costs({ requests: 6_000, finished: 6_000 }),
        costs({ backend: 'large', fullNanos: 1n, requests: 20, finished: 20 }),
      ],
      outcomes: many,
    });
    const [small, large] = rows.map((r) => r.conversion!);
    expect(small).toMatchObject({ converted: 300, enough: true });
    expect(small!.low < 0.05 && 0.05 < small!.high && small!.high - small!.low < 0.02).toBe(true);
    expect(large).toMatchObject({ converted: 0, enough: false });
    expect(large!.high - large!.low).toBeGreaterThan(0.01);
  });

  it('requests that are too young to have converted count only in part', () => {
    const rateOf = (ageDays: number): number =>
      report({
        costs: [costs({ requests: 4_000, finished: 4_000, atMs: TO.getTime() - ageDays * DAY_MS })],
        outcomes: Array.from({ length: 40 }, (_, i) => {
          const decidedAtMs = TO.getTime() - ageDays * DAY_MS;
          return outcome(`y${i}`, { decidedAtMs, occurredAtMs: decidedAtMs + DAY_MS / 8 });
        }),
      }).rows[0]!.conversion!.rate;
    expect(rateOf(20)).toBeCloseTo(0.01, 2);
    expect(rateOf(0.2)).toBeGreaterThan(1.5 * rateOf(20));
  });

  const traffic = (rateOfLarge: number, requests: number): Partial<MarginFacts> => ({
    costs: [
      costs({ requests: requests + 1, finished: requests }),
      costs({ backend: 'large', requests, finished: requests }),
    ],
    outcomes: [
      ...Array.from({ length: 0.03 * requests }, (_, i) => outcome(`s${i}`)),
      ...Array.from({ length: rateOfLarge * requests }, (_, i) => outcome(`l${i}`, { backend: 'large' })),
    ],
  });
  const candidates = [means('small', 0.001), means('large', 0.011), means('never-tried', 0.1)];

  it('a dearer backend that is seen to convert better by more than it costs is worth it', () => {
    const { segments } = report({ ...traffic(0.045, 40_000), candidates });
    expect(segments).toMatchObject([{ requests: 80_001, revenueFrom: 'reported', revenueUsd: expect.closeTo(2, 6) }]);
    const [dearest, large] = segments[0]!.upgrades;
    expect(dearest).toMatchObject({ from: 'small', to: 'never-tried', verdict: 'not-enough-data', requests: 0 });
    expect(large).toMatchObject({ from: 'small', to: 'large', verdict: 'upgrade', extraUsd: expect.closeTo(0.01, 9) });
    expect(large!.gainUsd).toBeCloseTo(0.03, 2);
  });

  it('scarce money or too few requests turn that into a no, or into not enough data', () => {
    const verdictOf = (facts: Partial<MarginFacts>): string =>
      report(facts).segments[0]!.upgrades.find((u) => u.to === 'large')!.verdict;
    const scarce = candidates.map((c) => ({ ...c, shadowPrice: 4 }));
    expect(verdictOf({ ...traffic(0.045, 40_000), candidates: scarce })).toBe('stay');
    expect(verdictOf({ ...traffic(0.045, 600), candidates })).toBe('not-enough-data');
  });

  it('a cheaper backend whose own budget is not scarce is worth a little less conversion', () => {
    const requests = 200_000;
    const converted = (backend: string, rate: number) =>
      Array.from({ length: requests * rate }, (_, i) => outcome(`${backend}${i}`, { backend }));
    const { segments } = report({
      costs: [
        costs({ backend: 'openai', finished: requests, requests }),
        costs({ backend: 'anthropic', finished: requests - 1, requests: requests - 1 }),
      ],
      outcomes: [...converted('openai', 0.03), ...converted('anthropic', 0.0295)],
      candidates: [means('openai', 0.002, { shadowPrice: 9 }), means('anthropic', 0.0015)],
    });
    expect(segments[0]!.upgrades).toMatchObject([
      {
        from: 'openai',
        to: 'anthropic',
        verdict: 'upgrade',
        extraUsd: expect.closeTo(-0.0185, 9),
        shadowPrice: 0,
        fromShadowPrice: 9,
      },
    ]);
  });

  it('what a conversion brings starts at what is configured, as in the router, not at what other tiers bring', () => {
    const configured = [means('small', 0.001, { revenueUsd: 9, revenueConfiguredUsd: 0.0005 })];
    const brings = (outcomes: readonly RequestOutcome[]) =>
      report({ costs: [costs({}), costs({ tier: 'pro' })], outcomes, candidates: configured }).segments[0];
    const pro = outcome('p', { tier: 'pro', revenueNanos: 500_000_000_000n });
    expect(brings([pro])).toMatchObject({ revenueUsd: 0.0005, revenueFrom: 'configured' });
    const own = outcome('f', { revenueNanos: 0n });
    expect(brings([pro, own])).toMatchObject({ revenueFrom: 'reported' });
    expect(brings([pro, own])!.revenueUsd).toBeLessThan(0.0005);
  });

  it('where nobody knows what a conversion brings no other backend is advised, not even a cheaper one', () => {
    const unknown = candidates.map((c) => ({ ...c, revenueUsd: 0 }));
    const worthless = { revenueNanos: 0n };
    const { outcomes = [], ...facts } = traffic(0.045, 40_000);
    const { segments } = report({
      ...facts,
      outcomes: outcomes.map((o) => ({ ...o, ...worthless })),
      candidates: unknown,
    });
    expect(segments).toMatchObject([{ revenueUsd: 0, upgrades: [] }]);
  });

  it('of an org that reports no conversions nothing is said, and another org’s say nothing of it', () => {
    const { segments, rows } = report({
      costs: [costs({}), costs({ org: 'globex' })],
      outcomes: [outcome('a')],
      candidates: [means('small', 0.001), means('large', 0.01), means('small', 0.001, { org: 'globex' })],
    });
    expect(segments.map((s) => s.org)).toEqual(['acme']);
    expect(rows.find((r) => r.org === 'globex')!.conversion).toBeNull();
  });

  it('what is not listed is counted', () => {
    const { rows, customers, leftOff, total } = report({
      costs: Array.from({ length: 520 }, (_, i) => costs({ feature: `f${i}` })),
      customers: Array.from({ length: 103 }, (_, i) => customer(`c${i}`, 1n, null)),
    });
    expect([rows.length, customers.length]).toEqual([500, 100]);
    expect(leftOff).toEqual({ rows: 20, customers: 3, segments: 0 });
    expect(total.requests).toBe(5_200);
  });
});
