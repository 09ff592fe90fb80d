import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { chargeNanos, type ChargeRule } from './charge-rule.js';

describe('what a customer is charged', () => {
  it.each<[string, ChargeRule, bigint, bigint]>([
    ['cost-plus', { markup: '1.25' }, 412_000n, 515_000n],
    ['at cost', { markup: '1' }, 7n, 7n],
    ['a fixed price, whatever it cost', { usdPerRequest: '0.002' }, 412_000n, 2_000_000n],
    ['both', { markup: '1.1', usdPerRequest: '0.000000001' }, 100n, 111n],
    ['half to even, down', { markup: '1.5' }, 3n, 4n],
    ['half to even, up', { markup: '1.5' }, 1n, 2n],
    ['half to even stays at 2', { markup: '0.5' }, 5n, 2n],
    ['just above half', { markup: '0.500000000001' }, 5n, 3n],
    ['free, when stated', { usdPerRequest: '0' }, 412_000n, 0n],
    ['beyond what a double holds', { markup: '1.000000000001' }, 9_007_199_254_740_993n, 9_007_199_254_750_000n],
  ])('%s', (_what, rule, full, charged) => {
    expect(chargeNanos(rule, full)).toBe(charged);
  });

  it.each<[ChargeRule, bigint]>([
    [{}, 1n],
    [{ markup: '-1' }, 1n],
    [{ usdPerRequest: '-0.1' }, 1n],
    [{ markup: '1' }, -1n],
    [{ markup: '1.0000000000001' }, 1n],
    [{ markup: '1e3' }, 1n],
    [{ usdPerRequest: '0.0000000001' }, 1n],
  ])('%j of %s nano-USD is refused', (rule, full) => {
    expect(() => chargeNanos(rule, full)).toThrow();
  });

  it('is off by at most half a nano-dollar and never falls when the cost rises, for 10,000 random amounts', () => {
    const random = seededRandom(3);
    for (let i = 0; i < 10_000; i++) {
      const thousandths = BigInt(Math.floor(random() * 5_000));
      const rule = { markup: `${thousandths / 1000n}.${String(thousandths % 1000n).padStart(3, '0')}` };
      const full = BigInt(Math.floor(random() * 2 ** 45));
      const charged = chargeNanos(rule, full);
      const off = charged * 1000n - full * thousandths;
      expect(off <= 500n && off >= -500n).toBe(true);
      expect(chargeNanos(rule, full + 1n) >= charged).toBe(true);
    }
  });

  it('charges the fixed price once, however often the cost is corrected', () => {
    const rule = { markup: '1.3', usdPerRequest: '0.01' };
    const [first, second, third] = [1_001n, 999n, 2_003n].map((full) => chargeNanos(rule, full)) as [
      bigint,
      bigint,
      bigint,
    ];
    expect(first + (second - first) + (third - second)).toBe(chargeNanos(rule, 2_003n));
  });
});
