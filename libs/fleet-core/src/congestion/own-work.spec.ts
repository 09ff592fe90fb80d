import { describe, expect, it } from 'vitest';
import { CLOUD_PRIOR } from '../latency/latency.js';
import { backendPrior, meanWork, MEAN_WORK_AT_START, ownCongestion, workHasMoved } from './own-work.js';
import { engineSpeed, slotsShape } from './replica-shape.js';

const SPEED = engineSpeed({ gpus: 1, prefillTokensPerSecond: 1_000 }, 4, (batch) => 50 * batch);

describe('the mean work', () => {
  it('forgets: after 200 attempts of another kind 1/e of what was is left', () => {
    let mean = { inputTokens: 1_000, outputTokens: 0 };
    for (let i = 0; i < 200; i++) mean = meanWork(mean, { inputTokens: 0, outputTokens: 100 });
    expect(mean.inputTokens / 1_000).toBeCloseTo(Math.exp(-1), 2);
    expect(mean.outputTokens / 100).toBeCloseTo(1 - Math.exp(-1), 2);
  });

  it('has moved beyond a quarter, either way, and not among the smallest', () => {
    const { inputTokens, outputTokens } = MEAN_WORK_AT_START;
    expect(workHasMoved(MEAN_WORK_AT_START, { inputTokens: inputTokens * 1.2, outputTokens })).toBe(false);
    expect(workHasMoved(MEAN_WORK_AT_START, { inputTokens, outputTokens: outputTokens * 1.3 })).toBe(true);
    expect(workHasMoved({ inputTokens, outputTokens: outputTokens * 1.3 }, MEAN_WORK_AT_START)).toBe(true);
    expect(workHasMoved({ inputTokens, outputTokens: 0 }, { inputTokens, outputTokens: 1 })).toBe(false);
  });
});

describe('what a backend is expected to take', () => {
  it('is as configured, else by its speed, else as of a cloud', () => {
    const work = { inputTokens: 500, outputTokens: 10 };
    expect(backendPrior({ firstTokenSeconds: 2, secondsPerToken: 0.1 }, SPEED, work, 1)).toEqual({
      firstTokenSeconds: 2,
      secondsPerOutputToken: 0.1,
    });
    expect(backendPrior(undefined, SPEED, work, 1).secondsPerOutputToken).toBeCloseTo(1 / 50);
    expect(backendPrior(undefined, undefined, work, 1)).toEqual(CLOUD_PRIOR);
  });

  it('where no speed is known, congestion is that of slots', () => {
    const prior = { firstTokenSeconds: 1, secondsPerOutputToken: 0.01 };
    const { shape } = ownCongestion(undefined, 3, MEAN_WORK_AT_START, prior);
    expect(shape).toEqual(slotsShape(3, 3));
  });
});
