import { describe, expect, it } from 'vitest';
import { chargedNanos, isAnswer, type AttemptEnd } from './charged-attempt.js';

describe('the customer is charged for', () => {
  it.each<[string, AttemptEnd, boolean]>([
    ['a whole answer', { outcome: 'finished' }, true],
    ['what had come when they cancelled', { outcome: 'cancelled', code: 'cancelled', chunks: 3 }, true],
    ['nothing that was cancelled before anything came', { outcome: 'cancelled', code: 'cancelled', chunks: 0 }, false],
    ['a stream that their budget cut', { outcome: 'cancelled', code: 'budget', chunks: 9 }, true],
    ['what was sent to a reader who stayed away', { outcome: 'failed', code: 'reader-away', chunks: 64 }, true],
    ['no stream that broke', { outcome: 'failed', code: 'cut', chunks: 5 }, false],
    ['no attempt that the router stopped', { outcome: 'cancelled', code: 'stopped', chunks: 5 }, false],
    ['no failed attempt', { outcome: 'failed', code: 'server-error' }, false],
    ['nothing that was not sent', { outcome: 'not-sent' }, false],
  ])('%s', (_what, end, charged) => {
    expect(isAnswer(end)).toBe(charged);
  });

  it('no attempt but the one that is charged, not even its fixed price', () => {
    const rule = { markup: '1.5', usdPerRequest: '0.001' };
    expect(chargedNanos(rule, 1_000n, true)).toBe(1_001_500n);
    expect(chargedNanos(rule, 1_000n, false)).toBe(0n);
  });
});
