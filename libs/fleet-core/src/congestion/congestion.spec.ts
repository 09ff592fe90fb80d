import { describe, expect, it } from 'vitest';
import { Congestion } from './congestion.js';
import { erlangB, meanWaitSeconds } from './erlang.js';
import { secondsOfOneMore, secondsOfOneMoreInQueue } from './one-more.js';
import {
  batchingShape,
  engineSpeed,
  gpuSecondsOfWork,
  slotsShape,
  workSeconds,
  type ReplicaShape,
} from './replica-shape.js';

const NO_END = 1e8;
/** Decode rate that grows with the batch, less and less. */
const SPEED = engineSpeed({ gpus: 4, prefillTokensPerSecond: 14_000 }, 24, (batch) => 55 * batch ** 0.93);
const BATCHING = batchingShape(SPEED, { inputTokens: 2_000, outputTokens: 30 });
const SHAPES: [string, ReplicaShape][] = [
  ['slots', slotsShape(24, 2)],
  ['a single slot', slotsShape(1, 2)],
  ['a batching engine', BATCHING],
  ['many slots', slotsShape(10_000, 1)],
];

describe('what one more request makes requests wait', () => {
  it.each([
    [1, 0.5],
    [4, 3],
    [24, 20],
    [1_000, 950],
    [10_000, 9_900],
  ])('is W(a)/B(n,a) for slots and a load without end: %i slots, load %d', (slots, offered) => {
    const { all } = secondsOfOneMore(slotsShape(slots, 1), offered, NO_END);
    for (const n of [0, Math.floor(slots / 2), slots - 1]) {
      expect(all[n]! / (meanWaitSeconds(slots, offered, 1) / erlangB(n, offered))).toBeCloseTo(1, 5);
    }
  });

  it('is, over all arrivals, the marginal waiting d(L W)/dL', () => {
    const [slots, offered, step] = [8, 6.5, 1e-5];
    const { all, inQueue } = secondsOfOneMore(slotsShape(slots, 1), offered, NO_END);
    // Stationary chances by PASTA, far enough up the queue.
    let [chance, mass, mean] = [1, 0, 0];
    for (let n = 0; n < 2_000; n++) {
      mass += chance;
      mean += chance * (n < slots ? all[n]! : secondsOfOneMoreInQueue(inQueue, n - slots + 1));
      chance *= offered / Math.min(n + 1, slots);
    }
    const waiting = (a: number): number => a * meanWaitSeconds(slots, a, 1);
    expect(mean / mass).toBeCloseTo((waiting(offered + step) - waiting(offered - step)) / (2 * step), 4);
  });

  it.each([
    ['slots, below capacity', slotsShape(6, 1), 4],
    ['slots, overloaded', slotsShape(6, 1), 9],
    ['a batching engine', BATCHING, 5],
  ])('is what iterating the chain itself gives: %s', (_name, shape, arrivals) => {
    const horizon = 8;
    const { all } = secondsOfOneMore(shape, arrivals, horizon);
    const brute = relativeValues(shape, arrivals, horizon);
    for (let n = 0; n < shape.capacity; n++) expect(all[n]! / brute[n]!).toBeCloseTo(1, 5);
  });
});

describe('the congestion price', () => {
  it.each(SHAPES)('is nothing when idle and never falls as it fills, waits and overflows: %s', (_name, shape) => {
    const congestion = new Congestion(shape, 60);
    expect(congestion.usdPerGpuSecond({ inFlight: 0 }, 0.001)).toBe(0);
    const k = shape.capacity;
    const counts = [...Array(60).keys()].map((i) => (i * k) / 50).concat(2 * k, 5 * k, 100 * k, 1_000 * k);
    const prices = counts.map((inFlight) => congestion.usdPerGpuSecond({ inFlight }, 0.001));
    for (const [i, price] of prices.entries()) {
      expect(Number.isFinite(price) && price >= (prices[i - 1] ?? 0) - 1e-12).toBe(true);
    }
    const most = Math.max(...counts.map((inFlight) => congestion.othersSeconds({ inFlight })));
    expect(most).toBeGreaterThan(0);
    // A second for each second of the horizon, and what is left to finish then.
    expect(most).toBeLessThan(60 + k / shape.completionsPerSecond[k]!);
  });

  it.each(SHAPES)('has no cliff, not at the last slot either: %s', (_name, shape) => {
    const congestion = new Congestion(shape, 60);
    const [k, grid] = [shape.capacity, 40];
    const step = Math.max(0.01, k / 2_000);
    const at = (n: number): number => congestion.othersSeconds({ inFlight: n });
    const highest = at(4 * k);
    for (let i = 1; i < grid; i++) {
      const n = (i * 2 * k) / grid;
      expect(at(n + step) - at(n)).toBeLessThan(highest / 5);
    }
    expect(at(k + step) - at(k - step)).toBeLessThan(highest / 5);
  });

  it('charges by GPU-second, so that a request twice as long pays twice', () => {
    const mean = { inputTokens: 2_000, outputTokens: 30 };
    const load = { inFlight: 12 };
    const congestion = new Congestion(BATCHING, 60);
    expect(congestion.usdPerGpuSecond(load, 0.001) * gpuSecondsOfWork(SPEED, mean)).toBeCloseTo(
      0.001 * congestion.othersSeconds(load),
      12,
    );
    expect(gpuSecondsOfWork(SPEED, { inputTokens: 4_000, outputTokens: 60 })).toBeCloseTo(
      2 * gpuSecondsOfWork(SPEED, mean),
      12,
    );
    expect(workSeconds(SPEED, mean, 1)).toBeCloseTo(2_000 / 14_000 + 30 / 55, 12);
  });

  it('counts a full cache as a full engine, and those that wait as well', () => {
    const congestion = new Congestion(slotsShape(20, 1), 60);
    expect(congestion.othersSeconds({ inFlight: 4, kvCacheUse: 0.9 })).toBe(congestion.othersSeconds({ inFlight: 18 }));
    expect(congestion.othersSeconds({ inFlight: 20, waiting: 5 })).toBe(congestion.othersSeconds({ inFlight: 25 }));
    expect(congestion.waitSeconds({ inFlight: 19 })).toBe(0);
    expect(congestion.waitSeconds({ inFlight: 20, waiting: 3 })).toBeCloseTo(4 / 20, 12);
  });

  it('makes local win when idle and lose when full, and win again, with nothing but numbers', () => {
    const congestion = new Congestion(BATCHING, 60);
    const cloudUsd = 0.001;
    const localUsd = (inFlight: number): number =>
      0.00002 + congestion.usdPerGpuSecond({ inFlight }, 0.0005) * BATCHING.gpuSecondsPerRequest;
    expect(localUsd(0)).toBeLessThan(cloudUsd);
    expect(localUsd(24)).toBeGreaterThan(cloudUsd);
    expect(localUsd(2)).toBeLessThan(cloudUsd);
  });

  it('refuses what is no shape', () => {
    expect(() => slotsShape(0, 1)).toThrow(/capacity/);
    expect(() => slotsShape(4, 0)).toThrow(/service/);
    expect(() => batchingShape(SPEED, { inputTokens: 0, outputTokens: 0 })).toThrow(/tokens/);
    expect(() => new Congestion(slotsShape(2, 1), 0)).toThrow(/horizon/);
  });
});

/** Value iteration on the chain with its queue cut off far away, by uniformisation. */
function relativeValues(
  { capacity, completionsPerSecond: m }: ReplicaShape,
  arrivals: number,
  horizon: number,
): number[] {
  const most = 600;
  const rate = (n: number): number => m[Math.min(n, capacity)]!;
  const cost = (n: number): number => n - rate(n) / m[1]!;
  const drained = [0];
  for (let n = 1; n <= most; n++) drained.push(drained[n - 1]! + cost(n) / rate(n));
  const total = arrivals + m[capacity]! + 1 / horizon;
  let values: number[] = drained.map((v) => v);
  for (let sweep = 0; sweep < 6_000; sweep++) {
    values = values.map((now, n) => {
      const up = values[Math.min(most, n + 1)]!;
      const down = n > 0 ? values[n - 1]! : 0;
      const stay = total - arrivals - rate(n) - 1 / horizon;
      return (cost(n) + arrivals * up + rate(n) * down + drained[n]! / horizon + stay * now) / total;
    });
  }
  return values.slice(0, capacity).map((v, n) => values[n + 1]! - v);
}
