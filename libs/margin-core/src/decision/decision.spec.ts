import { describe, expect, it } from 'vitest';
import { upgradeVerdict, type Arm, type Upgrade } from '../index.js';

const arm = (backend: string, conversion: number, costUsd: number, trials: number, shadowPrice = 0): Arm => ({
  backend,
  conversion,
  variance: trials === 0 ? 0.01 : (conversion * (1 - conversion)) / trials,
  trials,
  costUsd,
  shadowPrice,
});
const upgrade = (more: Partial<Upgrade> = {}): Upgrade => ({
  from: arm('small', 0.03, 0.001, 100_000),
  to: arm('large', 0.034, 0.011, 100_000),
  revenueUsd: 10,
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
    const scarce = { from: arm('small', 0.03, 0.001, 100_000, 4), to: arm('large', 0.034, 0.011, 100_000, 4) };
    const { verdict, sentence } = upgradeVerdict(upgrade(scarce));
    expect(verdict).toBe('stay');
    expect(sentence).toContain('for $0.0100 more, which counts $0.0500 at shadow prices of 4: it does not pay');
  });

  it('counts each cost at the shadow prices of the budgets that pay for it', () => {
    const [openai, anthropic] = [arm('openai', 0.03, 0.002, 200_000, 9), arm('anthropic', 0.0295, 0.0015, 200_000)];
    const away = upgradeVerdict({ from: openai, to: anthropic, revenueUsd: 2 });
    expect(away).toMatchObject({ verdict: 'upgrade', extraUsd: expect.closeTo(-0.0185, 9) });
    expect(away.sentence).toContain(
      'for $0.00050 less, which counts $0.0185 at shadow prices of 0 for anthropic and 9 for openai: it pays',
    );
    const dearer = { ...anthropic, costUsd: 0.0025 };
    expect(upgradeVerdict({ from: openai, to: dearer, revenueUsd: 2 }).sentence).toContain(
      'for $0.00050 more, but counts $0.0175 less at shadow prices of 0 for anthropic and 9 for openai: it pays',
    );
    const back = upgradeVerdict({ from: anthropic, to: openai, revenueUsd: 2 });
    expect(back).toMatchObject({ verdict: 'stay', extraUsd: expect.closeTo(0.0185, 9) });
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
