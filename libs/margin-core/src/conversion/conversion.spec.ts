import { describe, expect, it } from 'vitest';
import {
  conversionSegment,
  conversionInterval,
  emptyOrgConversion,
  learnConversion,
  learnTrial,
  predictConversion,
  predictRevenue,
  restoreConversion,
  snapshotConversion,
} from '../index.js';
import { DAY_MS, simulate, type Traffic } from './simulated-traffic.for-tests.js';

const traffic = (more: Partial<Traffic> = {}): Traffic => ({
  seed: 1,
  days: 40,
  requestsPerDay: 250,
  segments: [['premium', 'premium/chat']],
  backends: ['a', 'b'],
  rate: () => 0.04,
  delayDays: 3,
  ...more,
});
const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);
const segment = ['premium', 'premium/chat'];

describe('a conversion rate', () => {
  it('is not understated by conversions that are still to come; counting alone is', () => {
    const runs = SEEDS.map((seed) => simulate(traffic({ seed, days: 15, delayDays: 6 })));
    const mean = (of: (run: (typeof runs)[number]) => number) =>
      runs.reduce((sum, run) => sum + of(run), 0) / runs.length;
    const learned = mean(({ state }) => predictConversion(state, segment, 'a').conversion);
    expect(mean((run) => run.naive)).toBeLessThan(0.03);
    expect(Math.abs(learned - 0.04)).toBeLessThan(0.004);
  });

  it('lies in its 95 % interval about as often as that says', () => {
    let held = 0;
    for (const seed of SEEDS) {
      const { state } = simulate(traffic({ seed, days: 30 }));
      for (const backend of ['a', 'b']) {
        const { low, high } = conversionInterval(predictConversion(state, segment, backend));
        if (low <= 0.04 && 0.04 <= high) held++;
      }
    }
    // Of 80, with what 80 draws leave open.
    expect(held).toBeGreaterThanOrEqual(70);
  });

  it('tells two backends apart once there are enough requests, and says so only then', () => {
    const rate = (_segment: readonly string[], backend: string): number => (backend === 'a' ? 0.06 : 0.03);
    const few = simulate(traffic({ rate, days: 20, requestsPerDay: 20 })).state;
    const many = simulate(traffic({ rate, days: 40, requestsPerDay: 500 })).state;
    expect(predictConversion(few, segment, 'a').enough).toBe(false);
    const [a, b] = ['a', 'b'].map((backend) => predictConversion(many, segment, backend));
    expect([a!.enough, b!.enough]).toEqual([true, true]);
    expect(a!.conversion - b!.conversion).toBeGreaterThan(0.02);
  });

  it('of a segment without data is that of the segment above', () => {
    const { state } = simulate(traffic({ rate: () => 0.1 }));
    const here = predictConversion(state, ['premium', 'premium/other'], 'a');
    expect(here.trials).toBe(0);
    expect(here.conversion).toBeCloseTo(predictConversion(state, ['premium'], 'a').conversion, 2);
  });

  it('follows a change once what was before has decayed', () => {
    const rate = (_segment: readonly string[], _backend: string, day: number): number => (day < 40 ? 0.08 : 0.02);
    const { state } = simulate(traffic({ rate, days: 160 }));
    expect(predictConversion(state, segment, 'a').conversion).toBeLessThan(0.03);
  });

  it('that is taken back, or refunded, counts no more; a conversion after its window never did', () => {
    const state = emptyOrgConversion(0, 14 * DAY_MS);
    for (let i = 0; i < 200; i++) learnTrial(state, { segment, backend: 'a', requestedAtMs: 0 }, 0);
    const outcome = { segment, backend: 'a', requestedAtMs: 0 };
    const at = (day: number) => ({ ...outcome, occurredAtMs: day * DAY_MS });
    expect(learnConversion(state, { ...at(1), converted: true, wasConverted: false, revenueUsd: 20 }, DAY_MS)).toBe(
      'converted',
    );
    expect(predictRevenue(state, segment).usd).toBeCloseTo(20, 6);
    expect(learnConversion(state, { ...at(2), converted: true, wasConverted: true, revenueUsd: -5 }, 2 * DAY_MS)).toBe(
      'revenue-only',
    );
    expect(predictRevenue(state, segment).usd).toBeCloseTo(15, 6);
    const before = predictConversion(state, segment, 'a').conversion;
    expect(learnConversion(state, { ...at(3), converted: false, wasConverted: true }, 3 * DAY_MS)).toBe('taken-back');
    expect(predictConversion(state, segment, 'a').conversion).toBeLessThan(before);
    expect(learnConversion(state, { ...at(20), converted: true, wasConverted: false }, 20 * DAY_MS)).toBe('late');
  });

  it('is the same after a snapshot, and what is no snapshot is not read', () => {
    const { state } = simulate(traffic({ days: 10 }));
    const restored = restoreConversion(JSON.parse(JSON.stringify(snapshotConversion(state))), 14 * DAY_MS);
    expect(restored).toBeDefined();
    const [was, is] = [state, restored!].map((s) => predictConversion(s, segment, 'a'));
    expect(is!.conversion).toBeCloseTo(was!.conversion, 6);
    for (const broken of [undefined, {}, { format: 99 }, { ...snapshotConversion(state), segments: 'x' }])
      expect(restoreConversion(broken, 14 * DAY_MS)).toBeUndefined();
  });
});

it('a segment of the longest values that attribution takes is learned', () => {
  const state = emptyOrgConversion(0);
  const segment = conversionSegment({ tier: 't'.repeat(128), feature: 'f'.repeat(128) });
  learnTrial(state, { segment, backend: 'b', requestedAtMs: 0 }, 0);
  expect(state.segments.get(segment.at(-1)!)).toBeDefined();
});
