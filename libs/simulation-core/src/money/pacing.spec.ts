import { expect, it } from 'vitest';
import { config, FROM_MS, nothingListed } from '../fixture.for-tests.js';
import { simulate } from '../run/simulate.js';
import { generated, logNormalSample } from '../workload/stretch.js';

const DAY_MS = 86_400_000;
/** The dear one costs ten times as much, $0.018 on average, and is worth $0.02 more whatever it costs. */
const budget = (window: string, limit: string, pacing: string): string =>
  'routes: [{ id: any, backends: [dear, plain], objective: value, usdPerQualityPoint: "0.1" }]\n' +
  `budgets: [{ id: org, selector: { org: acme }, window: ${window}, limitUsd: "${limit}", pacing: ${pacing} }]\n`;
const days = (count: number) =>
  generated(logNormalSample({ inputTokens: 1_000, outputTokens: 200 }, 5), {
    requests: 500 * count,
    fromMs: FROM_MS,
    toMs: FROM_MS + count * DAY_MS,
    seed: 5,
  });
const run = (of: string, workload = days(7)) =>
  simulate(config(of), workload, { seed: 1, inputBoundFactor: 1, maxTokens: 1_000 }, nothingListed);

// A month by the dear one costs $270, a week of it $63.
it.each(['always', 'projected'])(
  'a week of a month is paced as a part of it, not as if nothing came after: %s',
  (pacing) => {
    const week = run(budget('month', '100', pacing));
    expect(week.rejected).toEqual({});
    const share = Number(week.cashNanos) / 100e9;
    expect(share).toBeGreaterThan(0.8 * (7 / 30));
    expect(share).toBeLessThan(1.2 * (7 / 30));
    expect(week.policyChanges).toBeGreaterThan(0);
    const month = run(budget('month', '100', pacing), days(30));
    expect(month.rejected).toEqual({});
    expect(Number(month.cashNanos) / 100e9).toBeGreaterThan(0.95);
  },
);

it('a total has no end that it could be paced to', () => {
  const paced = run(budget('total', '20', 'projected'));
  expect(paced).toEqual(run(budget('total', '20', 'off')));
  expect(paced.rejected['budget_exhausted']).toBeGreaterThan(1_000);
  expect(paced.policyChanges).toBe(0);
});
