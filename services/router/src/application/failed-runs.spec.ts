import type { Refusal } from '@meritorder/contracts';
import { expect, it } from 'vitest';
import { FailedRuns } from './failed-runs.js';

const failed = (...failures: string[]): Refusal => ({ code: 'backend_failed', message: '', details: { failures } });
const waits = (runs: FailedRuns, refusal: Refusal, times: number, job = 'acme/j'): (number | undefined)[] =>
  Array.from({ length: times }, () => runs.waitMs(job, refusal));

it('a job whose answers are paid for and come to nothing is given up after the third', () => {
  const runs = new FailedRuns();
  expect(waits(runs, failed('protocol'), 3)).toEqual([2_000, 4_000, undefined]);
  // One candidate of several is enough, and a worker that was lost may have been paid, too.
  expect(waits(runs, failed('connect', 'cut'), 3, 'acme/k')).toEqual([2_000, 4_000, undefined]);
  expect(waits(runs, { code: 'backend_failed', message: 'its worker was lost' }, 3, 'acme/l').at(-1)).toBeUndefined();
});

it('one that nobody answers waits longer each time, and is given up by its deadline alone', () => {
  expect(waits(new FailedRuns(), failed('connect', 'server-error'), 8)).toEqual([
    2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000,
  ]);
});

it('waits as long as it is told, and not at all for what is not to be retried', () => {
  const runs = new FailedRuns();
  expect(waits(runs, { code: 'backend_unavailable', message: '', retryAfterSeconds: 7 }, 2)).toEqual([7_000, 7_000]);
  expect(waits(runs, { code: 'backend_unavailable', message: '' }, 1)).toEqual([2_000]);
  expect(waits(runs, { code: 'answer_unusable', message: '' }, 1)).toEqual([undefined]);
});
