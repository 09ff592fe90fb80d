import { expect, it } from 'vitest';
import { evaluationText, type Evaluation } from './evaluate-text.js';

const around = (value: number, half: number) => ({ value, low: value - half, high: value + half });
const estimateOf = (logged: number, value: number, half: number) => ({
  clippedShare: 0,
  logged: around(logged, half),
  ips: around(value, 2 * half),
  snips: around(value, half),
  doublyRobust: around(value, half),
  change: {
    ips: around(value - logged, 2 * half),
    snips: around(value - logged, half),
    doublyRobust: around(value - logged, half),
  },
});
const evaluation: Evaluation = {
  policy: 'candidate.yaml',
  from: '2026-11-01T00:00:03.000Z',
  to: '2026-11-24T23:59:00.000Z',
  requests: 5_000,
  leftOut: { 'refused-then': 0, 'refused-now': 12, 'too-old': 0, 'nothing-came-of-it': 3 },
  untriedShare: 0.02,
  untried: { dear: 0.02 },
  unknown: {},
  conversionsUnlearned: 0,
  metrics: [
    { metric: 'quality', requests: 900, effectiveSample: 412.4, estimate: estimateOf(0.8, 0.79, 0.02), refusal: null },
    {
      metric: 'cashUsd',
      requests: 4_985,
      effectiveSample: 2_100,
      estimate: estimateOf(0.0124, 0.0004, 0.0001),
      refusal: null,
    },
    {
      metric: 'fullUsd',
      requests: 40,
      effectiveSample: 31.7,
      estimate: null,
      refusal: 'not enough data: 40 requests say as much of this policy as 31 of its own, and 200 are needed',
    },
  ],
};

it('tells each estimate with its interval, what is saved at which change of quality, and what is not known', () => {
  expect(evaluationText(evaluation).split('\n')).toEqual([
    'candidate.yaml on 5000 requests, decided from 2026-11-01 00:00 to 2026-11-24 23:59 UTC',
    '',
    expect.stringMatching(/^ +then +IPS +SNIPS +doubly robust +change +requests +effective$/),
    expect.stringMatching(/^[- ]+$/),
    expect.stringMatching(
      /^quality +0\.800 +0\.790 \[0\.750, 0\.830\] +0\.790 \[0\.770, 0\.810\] +0\.790 \[0\.770, 0\.810\] +-0\.010 \[-0\.030, \+0\.010\] +900 +412$/,
    ),
    expect.stringMatching(
      /^cash, USD a request +0\.0124 +0\.0004 \[0\.0002, 0\.0006\] .* -0\.0120 \[-0\.0121, -0\.0119\] +4985 +2100$/,
    ),
    expect.stringMatching(/^full cost, USD a request +40 +31$/),
    '',
    'full cost, USD a request: not enough data: 40 requests say as much of this policy as 31 of its own, and 200 are needed',
    'saves $0.0120 [0.0119, 0.0121] in cash a request at a change of quality of -0.010 [-0.030, +0.010] (doubly robust, 95 %)',
    'left out: 12 that it would refuse',
    'left out: 3 that have neither a cost nor an outcome on record',
    'of its choices 2.0 % had no chance then: dear',
  ]);
});

it('says of nothing only why there is nothing', () => {
  const refusal = 'no decisions of org globex';
  const metrics = evaluation.metrics.map((of) => ({ ...of, requests: 0, estimate: null, refusal }));
  expect(evaluationText({ ...evaluation, requests: 0, metrics })).toBe(
    'candidate.yaml cannot be evaluated: no decisions of org globex',
  );
});
