import { describe, expect, it } from 'vitest';
import { expectedMargin, judgeFloor, upgradeVerdict, worthServing, type Arm, type Upgrade } from '../index.js';

const arm = (backend: string, conversion: number, costUsd: number, trials: number): Arm => ({
  backend,
  conversion,
  variance: trials === 0 ? 0.01 : (conversion * (1 - conversion)) / trials,
  trials,
  costUsd,
});
const upgrade = (more: Partial<Upgrade> = {}): Upgrade => ({
  from: arm('small', 0.03, 0.001, 100_000),
  to: arm('large', 0.034, 0.011, 100_000),
  revenueUsd: 10,
  shadowPrice: 0,
  ...more,
});

describe('the upgrade inequality', () => {
  it('pays where revenue x difference exceeds what the money counts, and says so', () => {
    const verdict = upgradeVerdict(upgrade());
    expect(verdict).toMatchObject({ verdict: 'upgrade' });
    expect(verdict.gainUsd).toBeCloseTo(0.04, 9);
    expect(verdict.extraUsd).toBeCloseTo(0.01, 9);
    expect(verdict.sentence).toMatch(
      /large converts 3\.40 % against 3\.00 % of small: \+0\.40 points at \$10\.00 are worth \$0\.0400/,
    );
  });

  it('does not pay once scarce money counts more than the gain', () => {
    expect(upgradeVerdict(upgrade({ shadowPrice: 4 })).verdict).toBe('stay');
  });

  it('asks for the 52,000 requests per arm that +.3 points on 3 % take, and says not enough data below', () => {
    // The difference at which it pays: .03 USD / 10 USD.
    const verdict = upgradeVerdict(
      upgrade({ from: arm('small', 0.03, 0.001, 900), to: arm('large', 0.04, 0.031, 900) }),
    );
    expect(verdict.verdict).toBe('not-enough-data');
    expect(verdict.requestsNeeded).toBeGreaterThan(50_000);
    expect(verdict.requestsNeeded).toBeLessThan(55_000);
    expect(verdict.sentence).toMatch(/^Not enough data: .* takes 5\d,\d\d\d requests per arm/);
  });
});

describe('margin', () => {
  it('revenue that arrives whatever the answer changes whether to serve, never by whom', () => {
    const offers = [
      { backend: 'small', revenueUsd: 1, conversion: 0.01, chargeUsd: 0, fullCostUsd: 0.02 },
      { backend: 'large', revenueUsd: 1, conversion: 0.02, chargeUsd: 0, fullCostUsd: 0.05 },
    ];
    expect(worthServing(offers, 0)).toMatchObject({ serve: false, backend: 'small' });
    expect(worthServing(offers, 0.5)).toMatchObject({ serve: true, backend: 'small' });
  });

  it('has a floor as a share of the income, met to the cent', () => {
    expect(judgeFloor(1, 0.8, 0.2).verdict).toBe('allowed');
    expect(judgeFloor(1, 0.81, 0.2)).toMatchObject({ verdict: 'below-floor', highestCostUsd: 0.8 });
    expect(judgeFloor(0, 0.01, 0.2).verdict).toBe('below-floor');
  });

  it('adds what arrives, what is charged and what is expected of a conversion', () => {
    const margin = expectedMargin({
      arrivingUsd: 0.1,
      revenueUsd: 10,
      conversion: 0.02,
      chargeUsd: 0.05,
      fullCostUsd: 0.15,
    });
    expect(margin.incomeUsd).toBeCloseTo(0.35, 9);
    expect(margin.marginShare).toBeCloseTo(0.2 / 0.35, 9);
  });
});
