import type { LatencyCeilings } from '@meritorder/fleet-core';
import { describe, expect, it } from 'vitest';
import { EXAMPLES, MeritorderConfig, type UsageAttemptClosedV1 } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { LearningLoads } from './loads.memory.js';

const [backend] = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }],
  backends: [
    {
      id: 'a',
      kind: 'cloud',
      provider: 'p',
      model: 'a',
      baseUrl: 'http://127.0.0.1:1',
      contextTokens: 1_000,
      maxOutputTokens: 500,
      latency: { firstTokenSeconds: 1, secondsPerToken: 0.01 },
    },
  ],
}).backends;
const TOKENS = { inputTokens: 10, cacheReadTokens: 0, outputTokens: 101 };
const example = EXAMPLES.events['usage.attempt-closed.v1'];
const closed: UsageAttemptClosedV1 = {
  ...example,
  backend: 'a',
  usage: { ...example.usage!, outputTokens: TOKENS.outputTokens },
  expected: {
    route: 'auto',
    inputTokens: TOKENS.inputTokens,
    inputUpperTokens: 20,
    inputFeatures: { text: 9, tools: 0, messages: 1, images: 0 },
    cacheReadTokens: 0,
    outputTokens: TOKENS.outputTokens,
    outputP95Tokens: 200,
    outputP99Tokens: 300,
    maxTokens: 500,
    choices: 1,
  },
};

function loads(inFlight = 0) {
  const learning = new LearningLoads(new Map([['a', backend!]]), {
    load: () => ({ inFlight, capacity: 10, waitingInEngine: 0, kvCacheShare: 0 }),
  });
  return {
    heard: (event: Partial<UsageAttemptClosedV1>, subject = 'usage.attempt-closed.v1.acme') =>
      learning.heardClosed(new TextEncoder().encode(JSON.stringify({ ...closed, ...event })), subject, 0),
    ceiling: (ceilings: LatencyCeilings) =>
      learning.numbers(backend!, TOKENS, { targetSeconds: Infinity, usdPerSecondLate: 0, ...ceilings }, 0),
    numbers: (maxLatencySeconds: number | undefined, nowMs = 0) =>
      learning.numbers(backend!, TOKENS, { targetSeconds: Infinity, usdPerSecondLate: 0, maxLatencySeconds }, nowMs),
    askAgain: (nowMs = 0) => learning.askAgainInSeconds(backend!, 1, nowMs),
    within: (deadlineSeconds: number) =>
      learning.numbers(backend!, TOKENS, { targetSeconds: Infinity, usdPerSecondLate: 0, deadlineSeconds }, 0),
    after: (streams: boolean, share = 0.95) =>
      learning.hedgeAfterSeconds(backend!, TOKENS, { streams, outputDeviation: 0, share }, 0),
  };
}
const whole = (seconds: number) => ({ streamed: false, firstTokenMs: seconds * 1_000, durationMs: seconds * 1_000 });
const streamed = (first: number, all: number) => ({
  streamed: true,
  firstTokenMs: first * 1_000,
  durationMs: all * 1_000,
});

describe('under a ceiling of latency', () => {
  it('what is expected counts once two answers were measured, or are on their way', () => {
    const { heard, numbers } = loads();
    expect(numbers(5).measuredSeconds).toBeUndefined();
    heard(streamed(8, 9));
    expect(numbers(5).measuredSeconds).toBeUndefined();
    heard(streamed(8, 9));
    // Two answers leave a doubt, which adds a twelfth.
    expect(numbers(5).measuredSeconds).toBeGreaterThan(9);
    expect(numbers(5).measuredSeconds).toBeLessThan(9 * 1.1);
    // 1 s and 100 tokens at 10 ms, and some doubt.
    expect(loads(2).numbers(5).measuredSeconds).toBeGreaterThan(2);
    expect(loads(1).numbers(5).measuredSeconds).toBeUndefined();
  });

  it('of the first token counts that alone', () => {
    const { heard, ceiling } = loads();
    expect(ceiling({ maxFirstTokenSeconds: 5 })).not.toHaveProperty('measuredFirstTokenSeconds');
    for (let i = 0; i < 2; i++) heard(streamed(8, 9));
    const numbers = ceiling({ maxFirstTokenSeconds: 5 });
    expect(numbers.measuredFirstTokenSeconds).toBeGreaterThan(8);
    expect(numbers.measuredFirstTokenSeconds).toBeLessThan(8 * 1.1);
    expect(numbers).not.toHaveProperty('measuredSeconds');
    const both = ceiling({ maxFirstTokenSeconds: 5, maxLatencySeconds: 5 });
    expect(both.measuredSeconds).toBeGreaterThan(both.measuredFirstTokenSeconds!);
  });

  it('one that was slow is measured anew once its answers have faded, and says when that is', () => {
    const { heard, numbers, askAgain } = loads();
    expect(askAgain()).toBe(1);
    for (let i = 0; i < 16; i++) heard(streamed(8, 9));
    expect(askAgain()).toBe(1_800);
    expect(numbers(5, 1_799_000).measuredSeconds).toBeGreaterThan(5);
    expect(numbers(5, 1_801_000).measuredSeconds).toBeUndefined();
  });

  it('nothing is worked out of a cloud backend where there is none', () => {
    expect(loads().numbers(undefined)).toEqual({ gpuSeconds: 0, usdPerGpuSecond: 0, lateSeconds: 0 });
  });
});

describe('from closed attempts', () => {
  it("nothing is learned that came by another's subject", () => {
    const learning = loads();
    const before = learning.numbers(undefined);
    const subject = 'usage.attempt-closed.v1.acme.gpu-1';
    expect(() => learning.heard(whole(90), subject)).toThrow(`${subject} may not speak for a`);
    expect(learning.numbers(undefined)).toEqual(before);
  });
});

describe('before a deadline that breaks off the call', () => {
  // 1 s and 100 tokens at 10 ms are expected.
  const out = { outcome: 'failed', code: 'timeout', usage: undefined } as const;
  const cut = (streamed: boolean, seconds: number, first?: number): Partial<UsageAttemptClosedV1> => ({
    ...out,
    streamed,
    durationMs: seconds * 1_000,
    firstTokenMs: first === undefined ? undefined : first * 1_000,
  });

  it('the chance to be in time is known, and when the answer is expected', () => {
    expect(loads().within(60).inTimeChance).toBeGreaterThan(0.99);
    expect(loads().within(0.2).inTimeChance).toBeLessThan(0.01);
    expect(loads().within(3).latencySeconds).toBeGreaterThan(2);
  });

  it.each([
    ['an answer that comes whole', () => cut(false, 3)],
    ['a stream without its first token', () => cut(true, 3)],
    ['the rest of a stream', () => cut(true, 3, 1)],
  ])('%s that ran into it took at least so long: after a few nobody is expected to make it', (_name, event) => {
    const { heard, within } = loads();
    expect(within(3).latencySeconds).toBeLessThan(3);
    let count = 0;
    while (within(3).latencySeconds! <= 3 && count < 100) {
      heard(event());
      count++;
    }
    expect(count).toBeLessThanOrEqual(10);
    for (let i = 0; i < 100; i++) heard(event());
    expect(within(3).inTimeChance).toBeLessThan(0.5);
    expect(within(3).latencySeconds).toBeGreaterThan(3);
    expect(within(3).latencySeconds).toBeLessThan(30);
  });

  it('one that was broken off before its time says nothing, nor does one that was not sent', () => {
    const { heard, within } = loads();
    const before = within(3);
    heard(cut(false, 1));
    heard(cut(true, 0.5));
    heard({ ...cut(false, 30), sent: false });
    heard({ ...cut(false, 30), expected: undefined });
    expect(within(3)).toEqual(before);
  });
});

describe('when an attempt gets a hedge', () => {
  it('is when fewer first tokens than asked for are later, as learned of the backend', () => {
    const { heard, after } = loads();
    const random = seededRandom(3);
    const seen = Array.from({ length: 400 }, () => 0.2 * Math.exp(0.4 * gauss(random)));
    for (const first of seen) heard(streamed(first, first + 1));
    const later = (share: number) => seen.filter((s) => s > after(true, share)).length / seen.length;
    expect(later(0.95)).toBeGreaterThan(0.02);
    expect(later(0.95)).toBeLessThan(0.08);
    expect(later(0.5)).toBeGreaterThan(0.4);
    expect(later(0.5)).toBeLessThan(0.6);
  });

  it('is later for an answer that comes whole: it is waited for to its end', () => {
    const { heard, after } = loads();
    for (let i = 0; i < 200; i++) heard(streamed(0.5, 1.5));
    expect(after(false)).toBeGreaterThan(1.5);
    expect(after(true)).toBeLessThan(1);
  });

  it('is learned from answers that came whole, which are not taken for first tokens', () => {
    const { heard, after } = loads();
    for (let i = 0; i < 200; i++) heard(whole(4));
    // Twice what was expected of both parts: 1 s and 100 tokens at 10 ms.
    expect(after(true, 0.5)).toBeGreaterThan(1.9);
    expect(after(true, 0.5)).toBeLessThan(2.1);
    expect(after(false, 0.5)).toBeGreaterThan(3.6);
    expect(after(false, 0.5)).toBeLessThan(4.2);
  });

  it('does not sink because the slow ones are hedged: one that lost was at least so slow as it was waited for', () => {
    const run = (hedgesTeach: boolean): number => {
      const { heard, after } = loads();
      const random = seededRandom(4);
      for (let i = 0; i < 2_000; i++) {
        const first = 0.2 * Math.exp(0.6 * gauss(random));
        const limit = after(true);
        if (first <= limit) heard(streamed(first, first + 1));
        else if (hedgesTeach)
          heard({ outcome: 'cancelled', code: 'hedge-lost', firstTokenMs: undefined, durationMs: limit * 1_000 });
      }
      return after(true);
    };
    const truth = 0.2 * Math.exp(0.6 * 1.645);
    const taught = run(true);
    expect(taught).toBeGreaterThan(0.7 * truth);
    expect(taught).toBeGreaterThan(run(false));
  });

  it('learns nothing from a hedge that was ended because the first attempt answered', () => {
    const { heard, after } = loads();
    const before = after(true);
    heard({ outcome: 'cancelled', code: 'hedge-lost', hedgeOf: 'x', firstTokenMs: undefined, durationMs: 60_000 });
    heard({ outcome: 'cancelled', code: 'cancelled', firstTokenMs: undefined, durationMs: 60_000 });
    heard({ outcome: 'cancelled', code: 'hedge-lost', sent: false, firstTokenMs: undefined, durationMs: 60_000 });
    expect(after(true)).toBe(before);
  });
});

/** Standard normal (Box-Muller). */
function gauss(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
