import { describe, expect, it } from 'vitest';
import type { BudgetDefinition } from '@meritorder/contracts';
import { amountAtShare, amountWithinShare, stageAmounts, stageAt } from './index.js';

const definition: Pick<BudgetDefinition, 'stages' | 'thresholds'> = {
  thresholds: [0.5, 1],
  stages: [
    { at: 0.6, action: 'prefer-local' },
    { at: 0.7, action: 'throttle', requestsPerMinute: 60 },
    { at: 0.8, action: 'throttle', requestsPerMinute: 6 },
    { at: 0.9, action: 'local-only' },
    { at: 1, action: 'reject' },
  ],
};

describe('the stage in force', () => {
  it.each([
    [499n, 'none', null, null],
    [500n, 'notify', 0.5, null],
    [600n, 'prefer-local', 0.6, null],
    [700n, 'throttle', 0.7, 60],
    [800n, 'throttle', 0.8, 6],
    [900n, 'local-only', 0.9, 6],
    [999n, 'local-only', 0.9, 6],
    [1_000n, 'reject', 1, 6],
    [5_000n, 'reject', 1, 6],
  ] as const)('at %s of 1000 is %s', (spent, action, at, requestsPerMinute) => {
    expect(stageAt(definition, spent, 1_000n)).toEqual({ action, at, requestsPerMinute });
  });

  it('relaxes when the limit rises and when a new window begins', () => {
    expect(stageAt(definition, 950n, 2_000n).action).toBe('none');
    expect(stageAt(definition, 0n, 1_000n).action).toBe('none');
  });

  it('a stricter stage at a smaller share stays in force', () => {
    const odd = {
      thresholds: [],
      stages: [
        { at: 0.5, action: 'local-only' as const },
        { at: 0.9, action: 'notify' as const },
      ],
    };
    expect(stageAt(odd, 950n, 1_000n).action).toBe('local-only');
  });
});

describe('amounts at which stages begin', () => {
  it('are those that the counters need: the same answer as by share, to the nano-dollar', () => {
    for (const limit of [1n, 3n, 7n, 1_000n, 9_007_199_254_740_991n]) {
      const amounts = stageAmounts(definition.stages, limit)!;
      for (const spent of [0n, 1n, limit / 2n, amounts.localOnlyFromNanos! - 1n, amounts.localOnlyFromNanos!, limit]) {
        const { action } = stageAt(definition, spent, limit);
        expect(spent >= amounts.rejectFromNanos!).toBe(action === 'reject');
        expect(spent >= amounts.localOnlyFromNanos!).toBe(action === 'reject' || action === 'local-only');
      }
    }
  });

  it('a share is exact to a millionth, rounded up to be reached and down to be kept within', () => {
    expect(amountAtShare(0.333_333, 10n)).toBe(4n);
    expect(amountWithinShare(0.333_333, 10n)).toBe(3n);
    expect(amountAtShare(0.5, 10n)).toBe(5n);
    expect(amountWithinShare(0.5, 10n)).toBe(5n);
  });

  it('notify needs nothing of the counters', () => {
    expect(stageAmounts([{ at: 0.5, action: 'notify' }], 10n)).toBeUndefined();
    expect(stageAmounts(undefined, 10n)).toBeUndefined();
  });
});
