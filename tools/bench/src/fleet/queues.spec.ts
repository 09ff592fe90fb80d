import { describe, expect, it } from 'vitest';
import { batchingShape, engineSpeed, slotsShape } from '@meritorder/fleet-core';
import { seededRandom } from '@meritorder/kernel';
import { controlledInterval95 } from './controlled-interval.js';
import { oneMoreAgainstCore } from './one-more.js';
import { batching, queueAgainstTheory, theoryOf, within } from './queue-theory.js';
import { gaussian, steadyChances, steadyCount } from './random-draws.js';

describe('a simulated queue', () => {
  it.each([
    ['slots', slotsShape(1, 1), 0.5],
    ['slots', slotsShape(4, 1), 0.7],
    ['shared', slotsShape(4, 1), 0.7],
    ['shared', batching(), 0.7],
  ] as const)('of %s has the mean time in system that theory gives it', (station, shape, load) => {
    const seen = queueAgainstTheory({ name: '', station, shape, load, effort: 1 }, { arrivals: 25_000, runs: 10 }, 1);
    expect(seen.inSystemError.low).toBeLessThan(0.005);
    expect(seen.inSystemError.high).toBeGreaterThan(-0.005);
    expect(within(0.02, seen.inSystemError)).toBe(true);
  });

  it('is told from the theory of one that works 3 % slower', () => {
    const setting = { name: '', station: 'slots' as const, shape: slotsShape(4, 1), load: 0.7, effort: 1 };
    const slow = { ...setting, shape: slotsShape(4, 1.03), load: 0.7 * 1.03 };
    const seen = queueAgainstTheory(setting, { arrivals: 25_000, runs: 10 }, 1);
    const claimed = theoryOf(slow.shape, 4 * 0.7);
    const ratio = seen.theoryInSystemSeconds / claimed.inSystemSeconds;
    expect((1 + seen.inSystemError.high) * ratio - 1).toBeLessThan(0);
  });
});

describe('theory', () => {
  it('of a chain is Erlang’s where slots do not slow each other down', () => {
    const nearly = batchingShape(
      engineSpeed({ gpus: 1, prefillTokensPerSecond: 1e12 }, 6, (n) => n * (1 + 1e-6)),
      { inputTokens: 0, outputTokens: 1 },
    );
    const [slots, chain] = [theoryOf(slotsShape(6, 1), 5), theoryOf(nearly, 5)];
    expect(chain.waitSeconds).toBeCloseTo(slots.waitSeconds, 4);
    expect(chain.inSystemSeconds).toBeCloseTo(slots.inSystemSeconds, 4);
  });

  it('draws as many to begin with as it says', () => {
    const [shape, load] = [slotsShape(3, 1), 2.4];
    const random = seededRandom(3);
    const counts = Array.from({ length: 40_000 }, () => steadyCount(random, shape, load));
    for (const [n, chance] of steadyChances(shape, load).entries())
      expect(Math.abs(counts.filter((c) => c === n).length / counts.length - chance)).toBeLessThan(0.01);
    const mean = counts.reduce((a, b) => a + b, 0) / counts.length;
    expect(mean / (theoryOf(shape, load).inSystemSeconds * load)).toBeCloseTo(1, 1);
  });
});

describe('what one more request costs', () => {
  it.each([
    ['slots that are full', 'slots', slotsShape(4, 1), 6],
    ['a replica that batches', 'shared', batching(), 8],
  ] as const)('is what the same minutes cost with it and without it: %s', (_name, station, shape, inFlight) => {
    const setting = { name: '', station, shape, inFlight, horizonSeconds: 5, effort: 1 };
    const { allError } = oneMoreAgainstCore(setting, 8_000, 4);
    expect(allError.low).toBeLessThan(0.01);
    expect(allError.high).toBeGreaterThan(-0.01);
    expect(within(0.1, allError)).toBe(true);
  });
});

describe('an interval', () => {
  it('takes out what the control explains, holds the truth, and is no narrower than 95 %', () => {
    const random = seededRandom(9);
    let held = 0;
    const trials = 1_000;
    for (let i = 0; i < trials; i++) {
      const control = Array.from({ length: 12 }, () => gaussian(random));
      const { low, high } = controlledInterval95(
        control.map((c) => 7 + 3 * c + gaussian(random)),
        control,
      );
      if (low <= 7 && high >= 7) held++;
    }
    // 95 % less four deviations of the count.
    expect(held / trials).toBeGreaterThan(0.922);
    const control = Array.from({ length: 12 }, () => gaussian(random));
    const { low, high } = controlledInterval95(
      control.map((c) => 7 + 3 * c),
      control,
    );
    expect([low, high].map((x) => x.toFixed(6))).toEqual(['7.000000', '7.000000']);
  });
});
