import { describe, expect, it } from 'vitest';
import { isFalseRefusal, runLoad } from './load.js';
import { planBudgets } from './plan.js';
import { reportOf } from './report.js';
import type { Outcome, RefusalNumbers, Target } from './target.js';

const numbers = (over: Partial<RefusalNumbers> = {}): RefusalNumbers => ({
  budget: 'b',
  limitNanos: 100n,
  settledNanos: 50n,
  unconfirmedNanos: 10n,
  heldNanos: 20n,
  neededNanos: 21n,
  ...over,
});
const answering = (...outcomes: Outcome[]): Target => ({
  setBudget: async () => {},
  start: async () => {},
  request: async () => outcomes.shift() ?? { type: 'admitted' },
  settle: async () => ({ spends: [], checks: {} }),
  stop: async () => {},
});
const load = (target: Target, requests: number) =>
  runLoad(target, planBudgets(100, 1), { clients: 3, seconds: 60, requests, pauseMs: 0 }, () => 0);

describe('a refusal', () => {
  it.each([
    ['that would have fitted to the nano-dollar is false', 20n, true],
    ['that needed one nano-dollar more is none', 21n, false],
  ])('%s', (_name, neededNanos, expected) => {
    expect(isFalseRefusal(numbers({ neededNanos }))).toBe(expected);
  });

  it('is counted once, by its code and its budget', async () => {
    const result = await load(
      answering(
        { type: 'refused', code: 'budget_held', budget: true, numbers: numbers() },
        { type: 'refused', code: 'budget_held', budget: true, numbers: numbers({ neededNanos: 1n }) },
        { type: 'refused', code: 'admission_closed', budget: false },
        { type: 'unanswered' },
      ),
      10,
    );
    expect(result).toMatchObject({
      requests: 10,
      admitted: 6,
      unanswered: 1,
      refused: { budget_held: 2, admission_closed: 1 },
      refusedByBudget: { b: 2 },
      falseRefusals: [{ neededNanos: 1n }],
    });
    expect(result.refusalMs).toHaveLength(2);
  });
});

describe('the overshoot of a run', () => {
  const report = async (peakOvershoot: bigint | undefined, invoiceNanos: bigint, bookedNanos: bigint | undefined) =>
    reportOf(
      { fault: 'none', target: 't', routers: 1, clients: 1 },
      {
        load: await load(answering(), 1),
        peakOvershoot,
        spends: [
          { budget: 'b', limitNanos: 100n, invoiceNanos, bookedNanos },
          { budget: 'c', limitNanos: 100n, invoiceNanos: 1n, bookedNanos: 1n },
        ],
        checks: {},
        reserveMs: [],
        rate: undefined,
        strikes: 0,
      },
    );
  it.each([
    ['is what the provider charged above the limit', -5n, 107n, 90n, 7],
    ['is what the books hold above the limit', -5n, 90n, 103n, 3],
    ['is what was held and spent at once above the limit', 2n, 90n, 90n, 2],
    ['is never below zero', -5n, 90n, 90n, 0],
    ['needs neither counters nor books', undefined, 101n, undefined, 1],
  ] as const)('%s', async (_name, peak, invoice, booked, expected) => {
    expect((await report(peak, invoice, booked)).maxOvershootNanos).toBe(expected);
  });
});

it('a plan is the same for the same seed, and every level can bind', () => {
  const [a, b] = [planBudgets(1_000, 7), planBudgets(1_000, 7)];
  expect(Array.from({ length: 50 }, () => a.next())).toEqual(Array.from({ length: 50 }, () => b.next()));
  const limits = (prefix: string): bigint =>
    a.budgets.filter((x) => x.id.startsWith(prefix)).reduce((sum, x) => sum + x.limitNanos, 0n);
  for (const level of ['department-', 'customer-', 'key-']) expect(limits(level)).toBeGreaterThan(limits('org-month'));
  expect(limits('small-')).toBeLessThan(limits('org-month'));
});
