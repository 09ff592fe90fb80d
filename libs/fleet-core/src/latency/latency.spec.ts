import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { engineSpeed } from '../congestion/replica-shape.js';
import {
  chanceLate,
  enginePrior,
  expectedLateSeconds,
  expectedSeconds,
  hedgeAfterSeconds,
  latencyOf,
} from './latency.js';
import {
  isMeasured,
  learnedTime,
  measuredTime,
  measuresFadeInSeconds,
  NO_LATENCY,
  observeLatency,
  type LearnedLatency,
} from './learned-latency.js';
import { chanceAbove, expectedExcess, meanOf, middleAbove, normalBelow, normalQuantile } from './normal.js';

const PRIOR = { firstTokenSeconds: 0.5, secondsPerOutputToken: 0.02 };
const REQUEST = { outputTokens: 101 };

/** The integral that a closed form stands for, by the midpoints of ln x. */
function integral(meanLog: number, varianceLog: number, of: (x: number) => number): number {
  const deviation = Math.sqrt(varianceLog);
  const steps = 20_000;
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const z = -10 + (20 * (i + 0.5)) / steps;
    sum += (of(Math.exp(meanLog + deviation * z)) * Math.exp((-z * z) / 2) * 20) / steps / Math.sqrt(2 * Math.PI);
  }
  return sum;
}

function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function learnedFrom(count: number, factor: number, deviation: number, seed = 1): LearnedLatency {
  const random = seededRandom(seed);
  let learned = NO_LATENCY;
  for (let i = 0; i < count; i++) {
    const seconds = (prior: number): number => prior * factor * Math.exp(deviation * gaussian(random));
    learned = observeLatency(
      learned,
      {
        prior: PRIOR,
        firstTokenSeconds: seconds(PRIOR.firstTokenSeconds),
        secondsPerOutputToken: seconds(PRIOR.secondsPerOutputToken),
      },
      i * 100,
    );
  }
  return learned;
}

describe('the closed forms', () => {
  it.each([
    [0, 0.25, 1],
    [0.5, 0.04, 4],
    [-1, 1, 0.2],
    [1, 0.01, 2.7],
  ])('agree with the integral: ln N(%d, %d) above %d', (meanLog, varianceLog, limit) => {
    const of = { meanLog, varianceLog };
    expect(expectedExcess(of, limit)).toBeCloseTo(
      integral(meanLog, varianceLog, (x) => Math.max(0, x - limit)),
      5,
    );
    expect(chanceAbove(of, limit)).toBeCloseTo(
      integral(meanLog, varianceLog, (x) => (x > limit ? 1 : 0)),
      3,
    );
    const logs = integral(meanLog, varianceLog, (x) => (x > limit ? Math.log(x) : 0));
    expect(Math.log(middleAbove(of, limit))).toBeCloseTo(logs / chanceAbove(of, limit), 1);
  });

  it('take what was above a limit for more than that limit, however far out, and for no less with a higher one', () => {
    const of = { meanLog: Math.log(2), varianceLog: 0.04 };
    let before = 0;
    for (let limit = 0.1; limit < 100; limit *= 1.01) {
      const middle = middleAbove(of, limit);
      expect(middle).toBeGreaterThan(limit);
      expect(middle).toBeGreaterThan(before * 0.999);
      before = middle;
    }
    expect(middleAbove(of, 100)).toBeLessThan(102);
    expect(middleAbove({ meanLog: 0, varianceLog: 0 }, 3)).toBe(3);
    expect(middleAbove(of, 0)).toBeCloseTo(2, 12);
  });

  it('know durations without spread and deadlines that have passed', () => {
    expect(expectedExcess({ meanLog: Math.log(3), varianceLog: 0 }, 2)).toBeCloseTo(1, 12);
    expect(expectedExcess({ meanLog: 0, varianceLog: 0 }, 2)).toBe(0);
    expect(expectedExcess({ meanLog: 0, varianceLog: 0.1 }, -5)).toBeCloseTo(Math.exp(0.05) + 5, 12);
    expect(normalBelow(normalQuantile(0.9))).toBeCloseTo(0.9, 3);
    expect(normalBelow(normalQuantile(0.02))).toBeCloseTo(0.02, 3);
  });

  it('never give a negative lateness, and less of it for a later deadline', () => {
    const latency = latencyOf(NO_LATENCY, PRIOR, REQUEST, 0);
    let before = Infinity;
    for (let deadline = -1; deadline < 60; deadline += 0.5) {
      const late = expectedLateSeconds(latency, deadline);
      expect(late >= 0 && late <= before).toBe(true);
      before = late;
    }
  });
});

describe('what is learned', () => {
  it('is the prior before anything was seen', () => {
    expect(meanOf(learnedTime(NO_LATENCY.firstToken, 0.5, 0))).toBeCloseTo(0.5 * Math.exp(0.125), 9);
  });

  it.each([
    [0.4, 0.3],
    [3, 0.6],
  ])('finds a backend that takes %d times what the prior says, with its spread %d', (factor, deviation) => {
    const { meanLog, varianceLog } = learnedTime(learnedFrom(400, factor, deviation).firstToken, 0.5, 40_000);
    expect(Math.exp(meanLog) / (0.5 * factor)).toBeCloseTo(1, 1);
    expect(Math.sqrt(varianceLog)).toBeGreaterThan(deviation * 0.85);
    expect(Math.sqrt(varianceLog)).toBeLessThan(deviation * 1.25);
  });

  it('predicts lateness as it happens: closed form against draws', () => {
    const latency = latencyOf(learnedFrom(400, 1.5, 0.4), PRIOR, REQUEST, 40_000);
    const random = seededRandom(7);
    let [late, over, total] = [0, 0, 0];
    const [draws, deadline] = [40_000, 5];
    for (let i = 0; i < draws; i++) {
      const seconds =
        PRIOR.firstTokenSeconds * 1.5 * Math.exp(0.4 * gaussian(random)) +
        100 * PRIOR.secondsPerOutputToken * 1.5 * Math.exp(0.4 * gaussian(random));
      late += Math.max(0, seconds - deadline) / draws;
      over += (seconds > deadline ? 1 : 0) / draws;
      total += seconds / draws;
    }
    expect(expectedSeconds(latency) / total).toBeCloseTo(1, 1);
    expect(Math.abs(expectedLateSeconds(latency, deadline) - late)).toBeLessThan(0.15 * late + 0.02);
    expect(Math.abs(chanceLate(latency, deadline) - over)).toBeLessThan(0.05);
  });

  it('fades, so that an hour later the prior counts again', () => {
    const learned = learnedFrom(400, 10, 0.2);
    const hoursLater = (hours: number): number =>
      learnedTime(learned.firstToken, 0.5, 40_000 + hours * 3_600_000).meanLog - Math.log(0.5);
    expect(hoursLater(0)).toBeGreaterThan(2.2);
    expect(hoursLater(2)).toBeLessThan(0.2);
  });

  it('does not take what is no time, and one stall does not decide', () => {
    const learned = learnedFrom(50, 1, 0.2);
    for (const firstTokenSeconds of [0, -1, Number.NaN, Infinity, undefined]) {
      expect(observeLatency(learned, { prior: PRIOR, firstTokenSeconds }, 6_000)).toEqual(learned);
    }
    const stalled = observeLatency(learned, { prior: PRIOR, firstTokenSeconds: 1e9 }, 6_000);
    expect(stalled.firstToken.meanLog - learned.firstToken.meanLog).toBeLessThan(0.1);
    expect(JSON.parse(JSON.stringify(stalled))).toEqual(stalled);
    expect(() =>
      observeLatency(learned, { prior: { ...PRIOR, firstTokenSeconds: 0 }, firstTokenSeconds: 1 }, 0),
    ).toThrow();
  });
});

describe('latency', () => {
  const speed = engineSpeed({ gpus: 4, prefillTokensPerSecond: 10_000 }, 16, (batch) => 50 * batch ** 0.9);

  it('grows with the load of an engine, as its curve says', () => {
    const tokens = { inputTokens: 1_000, outputTokens: 100 };
    expect(enginePrior(speed, tokens, 1)).toEqual({ firstTokenSeconds: 0.1 + 1 / 50, secondsPerOutputToken: 1 / 50 });
    const full = enginePrior(speed, tokens, 16);
    expect(full.secondsPerOutputToken).toBeCloseTo(16 / (50 * 16 ** 0.9), 12);
    expect(full.firstTokenSeconds).toBeCloseTo(1.6 + full.secondsPerOutputToken, 12);
    expect(enginePrior(speed, tokens, 40)).toEqual(full);
  });

  it('counts the wait, and an unknown length as more lateness', () => {
    const late = (request: Parameters<typeof latencyOf>[2]): number =>
      expectedLateSeconds(latencyOf(NO_LATENCY, PRIOR, request, 0), 4);
    expect(late({ ...REQUEST, waitSeconds: 2 })).toBeGreaterThan(late(REQUEST));
    expect(late({ ...REQUEST, waitSeconds: 10 })).toBeCloseTo(
      6 + expectedSeconds(latencyOf(NO_LATENCY, PRIOR, REQUEST, 0)),
      9,
    );
    expect(late({ ...REQUEST, outputDeviation: 1 })).toBeGreaterThan(late(REQUEST));
    expect(latencyOf(NO_LATENCY, PRIOR, { outputTokens: 0 }, 0).answer.meanLog).toBe(Math.log(0.5));
  });

  it('a hedge is sent after the learned quantile of the first token', () => {
    const learned = learnedFrom(450, 2, 0.5);
    const after = hedgeAfterSeconds(latencyOf(learned, PRIOR, REQUEST, 45_000), 0.95);
    const random = seededRandom(3);
    let waited = 0;
    for (let i = 0; i < 20_000; i++) if (Math.exp(0.5 * gaussian(random)) > after) waited += 1 / 20_000;
    expect(waited).toBeGreaterThan(0.03);
    expect(waited).toBeLessThan(0.07);
  });
});

describe('what was measured of a latency', () => {
  it('counts from two answers on, seen or on their way, until they have faded', () => {
    expect([0, 1, 2].map((inFlight) => isMeasured(NO_LATENCY, inFlight, 0))).toEqual([false, false, true]);
    let learned = NO_LATENCY;
    for (let i = 0; i < 16; i++) learned = observeLatency(learned, { prior: PRIOR, firstTokenSeconds: 1 }, 0);
    expect(isMeasured(learned, 0, 0)).toBe(true);
    // Three half-lives.
    expect(measuresFadeInSeconds(learned, 0)).toBeCloseTo(1_800, 6);
    expect(isMeasured(learned, 0, 1_799_000)).toBe(true);
    expect(isMeasured(learned, 0, 1_801_000)).toBe(false);
    expect(measuresFadeInSeconds(learned, 1_801_000)).toBe(0);
  });

  const after = (...seconds: number[]) =>
    seconds.reduce(
      (learned, firstTokenSeconds) => observeLatency(learned, { prior: PRIOR, firstTokenSeconds }, 0),
      NO_LATENCY,
    ).firstToken;
  const measured = (...seconds: number[]) => meanOf(measuredTime(after(...seconds), PRIOR.firstTokenSeconds, 0));

  it('is what the answers took, however far off the prior is: two suffice', () => {
    // The mean of a log-normal whose variance is that of the prior, .25, by 4 of 6: half of it is in the exponent.
    expect(measured(0.05, 0.05)).toBeCloseTo(0.05 * Math.exp(1 / 12), 9);
    expect(meanOf(learnedTime(after(0.05, 0.05), PRIOR.firstTokenSeconds, 0))).toBeGreaterThan(0.2);
    expect(measuredTime(NO_LATENCY.firstToken, 0.5, 0)).toEqual(learnedTime(NO_LATENCY.firstToken, 0.5, 0));
  });

  it('is not made long by the spread of few: one that began cold, and one that did not', () => {
    expect(measured(1, 0.01)).toBeLessThan(1);
  });
});
