import { EXAMPLES, type PriceVersion } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { expect, it } from 'vitest';
import { expectedCost, rate } from './index.js';

it('an expected cost is what rating says, to its rounding, with tiers, times of day and factors', () => {
  const random = seededRandom(7);
  const { version } = EXAMPLES.events['price.version-published.v1'];
  const count = (most: number): number => Math.floor(random() * most);
  const rates = () => ({
    inputPicosPerToken: String(count(60_000_000)),
    cacheReadPicosPerToken: String(count(6_000_000)),
    cacheWrite5mPicosPerToken: String(count(70_000_000)),
    cacheWrite1hPicosPerToken: String(count(90_000_000)),
    outputPicosPerToken: String(count(600_000_000)),
    requestPicos: String(count(10_000_000_000)),
  });
  for (let i = 0; i < 2_000; i++) {
    const cash = {
      ...rates(),
      contextTiers: [{ overInputTokens: 5_000, rates: rates() }],
      timeBands: [{ fromUtc: '20:00', toUtc: '04:00', rates: rates() }],
    };
    const price: PriceVersion = {
      ...version,
      cash,
      full: random() < 0.5 ? cash : rates(),
      ...(random() < 0.5 ? { marginal: rates() } : {}),
      ...(random() < 0.5 ? { accountFactor: '0.93' } : {}),
    };
    const usage = {
      inputTokens: count(9_000),
      cacheReadTokens: count(5_000),
      cacheWrite5mTokens: count(500),
      cacheWrite1hTokens: count(500),
      outputTokens: count(4_000),
      requests: 1,
    };
    const served = { atMs: Date.UTC(2026, 0, 1, count(24)) };
    const exact = rate(price, usage, served);
    const expected = expectedCost(price, usage, served);
    for (const [usd, nanos] of [
      [expected.cashUsd, exact.cashNanos],
      [expected.fullUsd, exact.fullNanos],
      [expected.marginalUsd, exact.marginalNanos],
    ] as const)
      expect(Math.abs(usd - Number(nanos) / 1e9)).toBeLessThanOrEqual(0.51e-9 + 1e-12 * usd);
  }
});
