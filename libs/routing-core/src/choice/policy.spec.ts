import { RouteConfig, TierConfig, type MeritorderOptions } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { asGoodAs, brokenOffAfter, notAllowed, policyFor, substitutesOf, withRevenue } from './policy.js';

const route = (more: object = {}) => RouteConfig.parse({ id: 'auto', backends: ['a'], ...more });
const tier = (more: object = {}) => TierConfig.parse({ id: 'gold', ...more });
const of = (settings: { route?: object; tier?: object; wishes?: MeritorderOptions; streams?: boolean }) =>
  policyFor({
    route: route(settings.route),
    tier: settings.tier && tier(settings.tier),
    wishes: settings.wishes,
    ...(settings.streams === undefined ? {} : { streams: settings.streams }),
  });

describe('a wish', () => {
  it('raises a floor and lowers a cap, and does neither the other way round', () => {
    const bounds = { tier: { minQuality: 0.8, maxCostUsd: '0.001', maxValueUsd: '0.05' } };
    expect(of({ ...bounds, wishes: { min_quality: 0.5, max_cost_usd: '1', value_usd: '9' } })).toMatchObject({
      score: { leastQuality: 0.8, maxCostUsd: 0.001, usdPerQuality: 0.05 },
      maxCostNanos: 1_000_000n,
    });
    expect(of({ ...bounds, wishes: { min_quality: 0.9, max_cost_usd: '0.0001', value_usd: '0.01' } })).toMatchObject({
      score: { leastQuality: 0.9, maxCostUsd: 0.0001, usdPerQuality: 0.01 },
      maxCostNanos: 100_000n,
    });
  });

  it('lowers the ceiling of latency of route and tier, and never raises it', () => {
    const bounds = { route: { maxLatencyMs: 9_000 }, tier: { maxLatencyMs: 5_000 } };
    expect(of({}).score.maxLatencySeconds).toBeUndefined();
    expect(of(bounds).score.maxLatencySeconds).toBe(5);
    expect(of({ ...bounds, tier: { maxLatencyMs: 12_000 } }).score.maxLatencySeconds).toBe(9);
    expect(of({ ...bounds, wishes: { max_latency_ms: 2_500 } }).score.maxLatencySeconds).toBe(2.5);
    expect(of({ ...bounds, wishes: { max_latency_ms: 60_000 } }).score.maxLatencySeconds).toBe(5);
  });

  it('lowers the ceiling of the first token likewise, of streams alone', () => {
    const bounds = { route: { maxFirstTokenMs: 900 }, tier: { maxFirstTokenMs: 500 } };
    expect(of({}).score.maxFirstTokenSeconds).toBeUndefined();
    expect(of(bounds).score.maxFirstTokenSeconds).toBe(0.5);
    expect(of({ ...bounds, wishes: { max_first_token_ms: 250 } }).score.maxFirstTokenSeconds).toBe(0.25);
    expect(of({ ...bounds, wishes: { max_first_token_ms: 60_000 } }).score.maxFirstTokenSeconds).toBe(0.5);
    expect(of({ ...bounds, streams: false }).score.maxFirstTokenSeconds).toBeUndefined();
  });

  it('of a value makes value the objective where nobody named one', () => {
    expect(of({ wishes: { value_usd: '1' } }).score.objective).toBe('value');
    expect(of({ tier: { objective: 'cheapest' }, wishes: { value_usd: '1' } }).score.objective).toBe('cheapest');
  });

  it('has company: a worth that is configured makes value the objective too', () => {
    const worth = { usdPerQualityPoint: '0.4' };
    expect(of({ route: worth }).score).toMatchObject({ objective: 'value', usdPerQuality: 0.4 });
    expect(of({ tier: worth }).score).toMatchObject({ objective: 'value', usdPerQuality: 0.4 });
    expect(of({ route: worth, tier: { objective: 'cheapest' } }).score.objective).toBe('cheapest');
    expect(of({}).score).toMatchObject({ objective: 'cheapest', usdPerQuality: 0 });
  });

  it('nobody has: quality counts a unit, which shadow prices find their own level against', () => {
    expect(of({ route: { objective: 'quality' } }).score.usdPerQuality).toBe(1);
    expect(of({ route: { objective: 'quality', usdPerQualityPoint: '0.4' } }).score.usdPerQuality).toBe(0.4);
  });

  it('for another backend is heard unless the tier says no', () => {
    expect(of({ tier: {}, wishes: { allow_substitution: true } }).substitution).toBe(true);
    expect(of({ tier: { allowSubstitution: false }, wishes: { allow_substitution: true } }).substitution).toBe(false);
  });
});

describe('what a conversion brings', () => {
  const margin = (value_usd?: string, maxValueUsd?: string, revenueUsd?: string) =>
    of({
      tier: { objective: 'margin', ...(maxValueUsd && { maxValueUsd }), ...(revenueUsd && { revenueUsd }) },
      wishes: value_usd === undefined ? undefined : { value_usd },
    });
  const learned = { usd: 2, from: 'learned' } as const;

  it('is less where the caller says so, and more only up to what the tier allows by name', () => {
    const broughtWith = (...said: Parameters<typeof margin>) => withRevenue(margin(...said), learned).score.revenueUsd;
    expect(broughtWith()).toBe(2);
    expect(broughtWith('0.000001')).toBe(0.000001);
    expect(broughtWith('9')).toBe(2);
    expect(broughtWith('9', '5')).toBe(5);
    expect(broughtWith('3', '5')).toBe(3);
    // A low limit to what is stated is none to what is known.
    expect(broughtWith('9', '1')).toBe(2);
    expect(margin('9').score.revenueUsd).toBe(0);
    expect(margin('0.5', undefined, '1').score.revenueUsd).toBe(0.5);
  });

  it('is on record with whence it is; a learned 0 is one', () => {
    expect(margin(undefined, undefined, '500').score.revenue).toEqual({
      expectedUsd: 500,
      from: 'configured',
      configuredUsd: 500,
    });
    expect(margin().score.revenue).toEqual({ expectedUsd: 0, from: 'unknown' });
    const nothing = withRevenue(margin('9', undefined, '500'), { usd: 0, from: 'learned' });
    expect(nothing.score).toMatchObject({ revenueUsd: 0, revenue: { expectedUsd: 0, from: 'learned' } });
    expect(of({ wishes: { value_usd: '1' } }).score.revenue).toBeUndefined();
  });
});

describe('a substitute', () => {
  it('is of as good a quality as what was named, within 0.02, and never below the floor', () => {
    expect(asGoodAs(of({}), 0.9).score.leastQuality).toBeCloseTo(0.88, 12);
    expect(asGoodAs(of({ wishes: { min_quality: 0.95 } }), 0.9).score.leastQuality).toBe(0.95);
  });

  it('is of a route of what was named, and each is there once', () => {
    const routes = [{ backends: ['a', 'b'] }, { backends: ['c', 'b', 'a'] }, { backends: ['d'] }];
    expect(substitutesOf(routes, 'a')).toEqual(['b', 'c']);
    expect(substitutesOf(routes, 'e')).toEqual([]);
  });
});

describe('lateness', () => {
  it('counts from the shorter of the deadline and the target, at the price that is configured', () => {
    const settings = { route: { targetLatencyMs: 5_000, usdPerSecondLate: '0.01' } };
    expect(of(settings)).toMatchObject({ targetSeconds: 5, score: { usdPerSecondLate: 0.01 } });
    expect(of({ ...settings, wishes: { deadline_ms: 2_000 } }).targetSeconds).toBe(2);
    expect(of({ ...settings, wishes: { deadline_ms: 9_000 } }).targetSeconds).toBe(5);
    expect(of({ ...settings, tier: { targetLatencyMs: 1_000 } }).targetSeconds).toBe(1);
  });

  it('has a price wherever somebody names a time, and none where nobody does or it is configured to cost nothing', () => {
    expect(of({ tier: { targetLatencyMs: 1_000 } }).score.usdPerSecondLate).toBe(0.0001);
    expect(of({ wishes: { deadline_ms: 2_000 } }).score.usdPerSecondLate).toBe(0.0001);
    expect(of({}).score.usdPerSecondLate).toBe(0);
    expect(of({ route: { usdPerSecondLate: '0' }, wishes: { deadline_ms: 2_000 } }).score.usdPerSecondLate).toBe(0);
  });
});

describe('a deadline', () => {
  it('breaks off the call of who named one, within what is left in any case; a target breaks off nothing', () => {
    const named = of({ tier: { targetLatencyMs: 1_000 }, wishes: { deadline_ms: 3_000 } });
    expect(brokenOffAfter(named, 600).score.deadlineSeconds).toBe(3);
    expect(brokenOffAfter(named, 2).score.deadlineSeconds).toBe(2);
    expect(brokenOffAfter(of({ tier: { targetLatencyMs: 1_000 } }), 2).score.deadlineSeconds).toBeUndefined();
  });
});

describe('who may serve', () => {
  it('is in a region of the route and in one of the tier, where these name some', () => {
    const policy = of({ route: { regions: ['eu', 'ch'] }, tier: { regions: ['eu', 'us'] } });
    expect(notAllowed(policy, { id: 'a', region: 'eu' })).toBeUndefined();
    expect(notAllowed(policy, { id: 'a', region: 'ch' })).toBe('is in the region ch, not in eu or us');
    expect(notAllowed(policy, { id: 'a', region: 'us' })).toBe('is in the region us, not in eu or ch');
    expect(notAllowed(policy, { id: 'a' })).toBe('is in no region that is named, not in eu or us');
    expect(notAllowed(of({}), { id: 'a' })).toBeUndefined();
    const either = { id: 'a', region: 'eu', credentials: [{ id: 'x' }, { id: 'y', region: 'us' }] };
    expect(notAllowed(policy, either)).toBe('is in the region us, not in eu or ch');
    expect(notAllowed(policy, { ...either, credentials: [{ id: 'x' }] })).toBeUndefined();
  });

  it('is of those that the tier names', () => {
    const policy = of({ tier: { backends: ['a'] } });
    expect(notAllowed(policy, { id: 'a' })).toBeUndefined();
    expect(notAllowed(policy, { id: 'b' })).toBe('is not for the tier gold');
  });
});

describe('of the slots of own hardware', () => {
  it.each<[string, object | undefined, boolean, number]>([
    ['a low tier leaves a fifth', { priority: 'low' }, true, 0.2],
    ['a normal one a twentieth', {}, true, 0.05],
    ['a high one none', { priority: 'high' }, true, 0],
    ['no tier, where there are some, a twentieth as well', undefined, true, 0.05],
    ['no tier, where there are none, none', undefined, false, 0],
  ])('%s free', (_name, settings, hasTiers, left) => {
    const policy = policyFor({ route: route(), tier: settings && tier(settings), hasTiers, wishes: undefined });
    expect(policy.slotsLeftFree).toBe(left);
  });
});
