import { expect, it } from 'vitest';
import { BudgetThresholdCrossedV1, thresholdEventId, type BudgetDefinition } from '@meritorder/contracts';
import { decideThresholds } from './decide-thresholds.js';

const budget: BudgetDefinition = {
  id: 'org',
  name: 'Org',
  selector: { org: 'acme' },
  window: 'month',
  timeZone: 'Asia/Kolkata',
  limitNanos: '1000',
  limitVersion: 3,
  basis: 'cash',
  thresholds: [1, 0.5, 0.8],
};
const now = Date.parse('2026-11-24T10:00:00Z');
const decide = (settledNanos: bigint, unconfirmedNanos = 0n, window = '2026-11') =>
  decideThresholds(new Map([['org', budget]]), [{ budget: 'org', window, settledNanos, unconfirmedNanos }], now);

it.each([
  [499n, 0n, []],
  [500n, 0n, [0.5]],
  [400n, 400n, [0.5, 0.8]],
  [2_000n, 0n, [0.5, 0.8, 1]],
])('%s settled and %s unconfirmed of 1000 reach %j', (settled, unconfirmed, thresholds) => {
  expect(decide(settled, unconfirmed).map((e) => e.threshold)).toEqual(thresholds);
});

it('deciding again gives the same identity, and the event is valid', () => {
  const [first] = decide(600n);
  const [again] = decide(650n);
  expect(thresholdEventId(first!)).toBe('org/2026-11/0.5/v3');
  expect(thresholdEventId(again!)).toBe(thresholdEventId(first!));
  expect(BudgetThresholdCrossedV1.parse(first)).toMatchObject({
    windowStart: '2026-10-31T18:30:00.000Z',
    windowEnd: '2026-11-30T18:30:00.000Z',
    spentUsd: '0.0000006',
  });
});

it('a window that is over is still decided, without its edges; an unknown budget is not', () => {
  expect(decide(600n, 0n, '2026-10')[0]).toMatchObject({ window: '2026-10', windowEnd: null });
  expect(
    decideThresholds(new Map(), [{ budget: 'org', window: 'total', settledNanos: 9n, unconfirmedNanos: 0n }], now),
  ).toEqual([]);
});
