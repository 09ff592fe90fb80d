import { expect, it } from 'vitest';
import { marginText, type Margin } from './margin-text.js';

const money = { requests: 5, cashNanos: '700', fullNanos: '700', chargedNanos: null, revenueNanos: null } as const;
const rest = { marginNanos: null, unconfirmedNanos: '0', conversion: null } as const;
const upgrade = { from: 'big', to: 'small', verdict: 'upgrade', sentence: 'small converts alike, for less: it pays.' };
const report = (revenueUsd: number): string =>
  marginText({
    from: '2026-11-01T00:00:00.000Z',
    to: '2026-11-02T00:00:00.000Z',
    rows: [{ org: 'acme', tier: null, feature: null, backend: 'big', ...money, ...rest }],
    customers: [],
    segments: [
      {
        org: 'acme',
        tier: null,
        feature: null,
        requests: 5,
        revenueUsd,
        revenueFrom: 'configured',
        upgrades: [upgrade],
      },
    ],
    total: { ...money, ...rest },
    leftOff: { rows: 0, customers: 0, segments: 0 },
  } as unknown as Margin);

it('advises to move to what is cheaper only where it is known what a conversion brings', () => {
  expect(report(0)).toContain('what a conversion brings is not known');
  expect(report(0)).not.toContain('move to');
  expect(report(2)).toContain('move to small: small converts alike');
});
