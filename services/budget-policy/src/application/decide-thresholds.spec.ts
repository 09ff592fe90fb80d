import { expect, it } from 'vitest';
import { BudgetThresholdCrossedV1, thresholdEventId } from '@meritorder/contracts';
import { decideThresholds } from './decide-thresholds.js';
import { ORG, stored } from './fixture.for-tests.js';

const now = Date.parse('2026-11-24T10:00:00Z');
const budget = stored();
const decide = (settledNanos: bigint, unconfirmedNanos = 0n, window = '2026-11', of = budget) =>
  decideThresholds(new Map([['org', of]]), [{ ...ORG, window, settledNanos, unconfirmedNanos }], now);

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

it('a window that is over is still decided, by what was in force when it ended; an unknown budget is not', () => {
  expect(decide(600n, 0n, '2026-10')[0]).toMatchObject({ window: '2026-10', windowEnd: '2026-10-31T18:30:00.000Z' });
  expect(decide(600n, 0n, '2026-10', stored({}, { changedAt: '2026-11-02T00:00:00.000Z' }))).toEqual([]);
  expect(
    decideThresholds(new Map(), [{ ...ORG, window: '2026-11', settledNanos: 9n, unconfirmedNanos: 0n }], now),
  ).toEqual([]);
});

it('a window of another kind than the budget has now is not decided', () => {
  expect(decide(600n, 0n, '2026-11-24')).toEqual([]);
});

it('a rule on the month is decided by the month alone, whatever the day spent (pitfall 26)', () => {
  const month = stored({ id: 'month', window: 'month', limitNanos: '100000', thresholds: [0.99] });
  const day = stored({ id: 'day', window: 'day', limitNanos: '15000', thresholds: [] });
  const spent = { template: null, values: null, unconfirmedNanos: 0n };
  const events = decideThresholds(
    new Map([
      ['month', month],
      ['day', day],
    ]),
    [
      { ...spent, budget: 'day', window: '2026-11-24', settledNanos: 14_999n },
      { ...spent, budget: 'month', window: '2026-11', settledNanos: 400n },
    ],
    now,
  );
  expect(events).toEqual([]);
  const reached = decideThresholds(
    new Map([['month', month]]),
    [{ ...spent, budget: 'month', window: '2026-11', settledNanos: 99_000n }],
    now,
  );
  expect(reached).toMatchObject([
    { budget: 'month', window: '2026-11', basis: 'cash', threshold: 0.99, limitNanos: '100000', settledNanos: '99000' },
  ]);
});

it('an event of an instance names its template and its values, and goes by its own limit', () => {
  const values = { customer: 'big' };
  const template = stored({ id: 'each', per: ['customer'], exceptions: [{ values, limitNanos: '5000' }] });
  const events = decideThresholds(
    new Map([['each', template]]),
    [
      {
        budget: 'each--0123456789abcdef',
        template: 'each',
        values,
        window: '2026-11',
        settledNanos: 2_600n,
        unconfirmedNanos: 0n,
      },
    ],
    now,
  );
  expect(events).toMatchObject([
    {
      budget: 'each--0123456789abcdef',
      template: 'each',
      values,
      threshold: 0.5,
      limitNanos: '5000',
      selector: { org: 'acme', customer: 'big' },
    },
  ]);
});

it('a budget that spans orgs is told to the operator', () => {
  expect(decide(600n, 0n, '2026-11', stored({ selector: { provider: 'openai' } }))[0]).toMatchObject({
    org: 'operator',
  });
});

it('what was carried into a window raises what its thresholds are shares of', () => {
  const carrying = stored({ carryOver: { maxShare: 1 }, carry: { window: '2026-11', nanos: '500', revision: 1 } });
  expect(decide(1_000n, 0n, '2026-11', carrying).map((e) => e.threshold)).toEqual([0.5]);
});
