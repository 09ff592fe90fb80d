import { describe, expect, it } from 'vitest';
import { emptyOrgConversion, learnConversion, predictRevenue, type OrgConversion } from '../index.js';

const FREE = ['tier free', 'tier free, feature chat'];
const PRO = ['tier pro', 'tier pro, feature chat'];

function reported(state: OrgConversion, segment: readonly string[], ...revenuesUsd: number[]): OrgConversion {
  for (const revenueUsd of revenuesUsd) report(state, segment, revenueUsd, false);
  return state;
}

function report(state: OrgConversion, segment: readonly string[], revenueUsd: number, wasConverted: boolean): void {
  const of = { segment, backend: 'a', requestedAtMs: 0, occurredAtMs: 0 };
  learnConversion(state, { ...of, converted: true, wasConverted, revenueUsd }, 0);
}

describe('what a conversion brings', () => {
  it('in a tier whose revenue is configured is that until its own are reported, whatever other tiers bring', () => {
    const state = reported(emptyOrgConversion(0), PRO, 500);
    expect(predictRevenue(state, FREE, 0.0005)).toEqual({ usd: 0.0005, from: 'configured' });
    reported(state, FREE, 0.02);
    const { usd, from } = predictRevenue(state, FREE, 0.0005);
    expect(from).toBe('learned');
    expect(usd).toBeGreaterThan(0.0005);
    expect(usd).toBeLessThan(0.02);
  });

  it('comes to what is reported, whatever was configured', () => {
    const state = reported(emptyOrgConversion(0), PRO, ...Array.from({ length: 20_000 }, () => 0.02));
    expect(predictRevenue(state, PRO, 500).usd).toBeCloseTo(0.02, 2);
  });

  it('in a tier of which nothing is configured starts at what the org’s conversions bring', () => {
    const state = reported(emptyOrgConversion(0), PRO, 500, 300);
    expect(predictRevenue(state, FREE)).toEqual({ usd: 400, from: 'learned' });
  });

  it('is never more for having been paid back', () => {
    const state = emptyOrgConversion(0);
    const known = [predictRevenue(state, PRO, 500).usd];
    for (let i = 0; i < 5; i++) report(state, PRO, 0.02, false);
    known.push(predictRevenue(state, PRO, 500).usd);
    for (let i = 0; i < 5; i++) {
      report(state, PRO, -0.02, true);
      known.push(predictRevenue(state, PRO, 500).usd);
    }
    expect(known).toEqual(known.toSorted((a, b) => b - a));
    expect(new Set(known).size).toBe(known.length);
  });

  it('may be learned to be nothing, which is not the same as unknown', () => {
    const state = emptyOrgConversion(0);
    expect(predictRevenue(state, PRO)).toEqual({ usd: 0, from: 'unknown' });
    expect(predictRevenue(reported(state, PRO, 0, 0), PRO)).toEqual({ usd: 0, from: 'learned' });
    report(state, PRO, -1, true);
    expect(predictRevenue(state, PRO)).toEqual({ usd: 0, from: 'learned' });
  });
});
