import { expect, it } from 'vitest';
import { config, nothingListed, requestsAt } from '../fixture.for-tests.js';
import { simulate } from '../run/simulate.js';

const DAY = 86_400;
/** Answers are $0.014 each, which is their bound too; a day has $0.03, of which two fit in. */
function answered(
  seconds: readonly number[],
  carryOver = 'carryOver: { maxShare: 1 }, ',
  outputTokens = 100,
): string[] {
  const rest =
    'routes: [{ id: any, backends: [dear] }]\n' +
    `budgets: [{ id: day, selector: { org: acme }, window: day, limitUsd: "0.03", ${carryOver}pacing: off }]\n`;
  const outcome = simulate(
    config(rest),
    requestsAt(seconds, { outputTokens }),
    { seed: 1, inputBoundFactor: 1, maxTokens: 100 },
    nothingListed,
  );
  expect(outcome.budgets[0]!.overshootNanos).toBe('0');
  return [`${outcome.answered} answered`, `${outcome.budgets[0]!.refusals} refused`];
}
const four = (day: number): number[] => [0, 10, 20, 30].map((second) => day * DAY + 3_600 + second);

it('what a day leaves is there on the next, as far as the budget allows', () => {
  // Of the first day $0.016 is left: $0.046 is three answers; all of the $0.03 that its limit would add is not there.
  expect(answered([0, ...four(1)])).toEqual(['4 answered', '1 refused']);
  expect(answered([0, ...four(1)], '')).toEqual(['3 answered', '2 refused']);
  expect(answered([0, ...four(1)], 'carryOver: { maxShare: 0.3 }, ')).toEqual(['3 answered', '2 refused']);
});

it('days without a request leave what they had, never more than the limit allows', () => {
  expect(answered([0, ...four(9)])).toEqual(['5 answered', '0 refused']);
  expect(answered([0, ...four(9), ...four(10)])).toEqual(['7 answered', '2 refused']);
});

it('nothing is carried before the run, nor while something is in flight that the last day pays', () => {
  expect(answered(four(0))).toEqual(['2 answered', '2 refused']);
  // At midnight the first is on its way for two seconds, and the answers of then are of what the day has by itself.
  expect(answered([DAY - 1, DAY, DAY, DAY, DAY + 10])).toEqual(['4 answered', '1 refused']);
});
