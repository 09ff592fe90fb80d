import { describe, expect, it } from 'vitest';
import { Congestion } from '../congestion/congestion.js';
import { slotsShape } from '../congestion/replica-shape.js';
import { latestStartMs, worthWaiting, type Deferral } from './worth-waiting.js';

const JOB: Deferral = {
  scoreNowUsd: -0.004,
  scoreWhenIdleUsd: -0.0001,
  costNowUsd: 0.004,
  deadlineMs: 3_600_000,
  expectedServiceSeconds: 60,
  marginSeconds: 40,
  nowMs: 0,
};

describe('a job', () => {
  it('waits while an idle replica would score better, and not a moment longer than its latest start', () => {
    expect(latestStartMs(JOB)).toBe(3_500_000);
    expect(worthWaiting(JOB)).toEqual({ wait: true, why: 'cheaper-when-idle', recheckAtMs: 5_000 });
    expect(worthWaiting({ ...JOB, nowMs: 3_498_000 })).toMatchObject({ wait: true, recheckAtMs: 3_500_000 });
    expect(worthWaiting({ ...JOB, nowMs: 3_500_000 })).toEqual({ wait: false, why: 'latest-start' });
  });

  it.each<[string, Partial<Deferral>, object]>([
    ['starts when now is as good', { scoreNowUsd: -0.0001 }, { wait: false, why: 'as-good-now' }],
    ['starts when waiting gains a hair', { scoreNowUsd: -0.0001 - 1e-12, costNowUsd: 0 }, { why: 'as-good-now' }],
    ['starts when waiting gains too small a share', { scoreNowUsd: -0.000139 }, { wait: false, why: 'as-good-now' }],
    ['starts where there is no own hardware', { scoreWhenIdleUsd: undefined }, { wait: false, why: 'no-own-hardware' }],
    ['waits when nothing can take it', { scoreNowUsd: undefined }, { wait: true, why: 'nothing-now' }],
    ['waits without a deadline', { deadlineMs: undefined }, { wait: true, recheckAtMs: 5_000 }],
    ['starts when it is late already', { deadlineMs: -1 }, { wait: false, why: 'latest-start' }],
  ])('%s', (_name, change, expected) => {
    expect(worthWaiting({ ...JOB, ...change })).toMatchObject(expected);
  });

  it('waits for a busy replica to empty and then starts, by the congestion price alone', () => {
    const congestion = new Congestion(slotsShape(8, 2));
    const score = (inFlight: number): number => -congestion.usdPerGpuSecond({ inFlight }, 0.01) * 0.25;
    const at = (inFlight: number): boolean =>
      worthWaiting({ ...JOB, scoreNowUsd: Math.max(-0.004, score(inFlight)), scoreWhenIdleUsd: score(0) }).wait;
    expect([at(8), at(5), at(0)]).toEqual([true, true, false]);
  });
});
