import { batchingShape, engineSpeed, meanWaitSeconds, slotsShape, type ReplicaShape } from '@meritorder/fleet-core';
import { seededRandom } from '@meritorder/kernel';
import type { Interval } from '../pacing/interval.js';
import { controlledInterval95 } from './controlled-interval.js';
import { steadyChances } from './random-draws.js';
import { runQueue, type StationKind } from './simulated-queue.js';

export interface QueueSetting {
  name: string;
  station: StationKind;
  shape: ReplicaShape;
  /** Arrivals over the completions of a full replica, 0..1. */
  load: number;
  /** Of its arrivals, as a factor. */
  effort: number;
}

/** Simulated over theory, less 1: the mean of independent runs and its 95 % interval. */
export interface QueueAgainstTheory {
  name: string;
  station: StationKind;
  servers: number;
  load: number;
  theoryWaitSeconds: number;
  theoryInSystemSeconds: number;
  waitError: Interval;
  inSystemError: Interval;
}

export interface QueueEffort {
  /** Arrivals of one run. */
  arrivals: number;
  /** One after the other from one stream of draws, so none is drawn twice. */
  runs: number;
}

/** Whether the whole interval lies within such a share of the theory: what was seen, and not only its middle. */
export function within(share: number, { low, high }: Interval): boolean {
  return low >= -share && high <= share;
}

export function queueAgainstTheory(
  { name, station, shape, load, effort }: QueueSetting,
  { arrivals, runs }: QueueEffort,
  seed: number,
): QueueAgainstTheory {
  const random = seededRandom(seed);
  const arrivalsPerSecond = load * shape.completionsPerSecond[shape.capacity]!;
  const theory = theoryOf(shape, arrivalsPerSecond);
  const all = Array.from({ length: runs }, () =>
    runQueue(station, shape, arrivalsPerSecond, Math.ceil(arrivals * effort), random),
  );
  const control = all.map((r) => r.offeredMore);
  return {
    name,
    station,
    servers: shape.capacity,
    load,
    theoryWaitSeconds: theory.waitSeconds,
    theoryInSystemSeconds: theory.inSystemSeconds,
    waitError: controlledInterval95(
      all.map((r) => r.waitSeconds / theory.waitSeconds - 1),
      control,
    ),
    inSystemError: controlledInterval95(
      all.map((r) => r.inSystemSeconds / theory.inSystemSeconds - 1),
      control,
    ),
  };
}

/** Mean seconds in front of the slots, and from arrival to end. Of slots by the core's Erlang C; of other shapes by their chain. */
export function theoryOf(
  shape: ReplicaShape,
  arrivalsPerSecond: number,
): { waitSeconds: number; inSystemSeconds: number } {
  const { capacity, completionsPerSecond: m } = shape;
  const aloneSeconds = 1 / m[1]!;
  if (m.every((rate, n) => Math.abs(rate * aloneSeconds - n) < 1e-9 * capacity)) {
    const waitSeconds = meanWaitSeconds(capacity, arrivalsPerSecond * aloneSeconds, aloneSeconds);
    return { waitSeconds, inSystemSeconds: waitSeconds + aloneSeconds };
  }
  const chances = steadyChances(shape, arrivalsPerSecond);
  const load = arrivalsPerSecond / m[capacity]!;
  const full = 1 - chances.reduce((a, b) => a + b, 0);
  const meanWaiting = (full * load) / (1 - load);
  const meanInFlight = chances.reduce((sum, chance, n) => sum + n * chance, 0) + full * capacity;
  return {
    waitSeconds: meanWaiting / arrivalsPerSecond,
    inSystemSeconds: (meanWaiting + meanInFlight) / arrivalsPerSecond,
  };
}

/** Loads, and how much longer than others they run: waits that are rare, or come in long rows, are known later. */
const SLOTS: readonly (readonly [servers: number, loads: readonly (readonly [load: number, effort: number])[]])[] = [
  [
    1,
    [
      [0.5, 0.2],
      [0.8, 0.5],
      [0.9, 1],
    ],
  ],
  [
    4,
    [
      [0.5, 0.5],
      [0.8, 1],
      [0.95, 2],
    ],
  ],
  [
    24,
    [
      [0.8, 2],
      [0.9, 2],
      [0.95, 3],
    ],
  ],
];

/** A replica that finishes more in a batch, less and less: 24 at once 19 times what one alone does. */
export function batching(): ReplicaShape {
  const speed = engineSpeed({ gpus: 1, prefillTokensPerSecond: 1e9 }, 24, (n) => n ** 0.93);
  return batchingShape(speed, { inputTokens: 0, outputTokens: 1 });
}

export function queueSettings(): QueueSetting[] {
  const slots = SLOTS.flatMap(([servers, loads]) =>
    loads.map(([load, effort]) => ({
      name: `M/M/${servers}`,
      station: 'slots' as const,
      shape: slotsShape(servers, 1),
      load,
      effort,
    })),
  );
  const shared = slots
    .filter(({ name, load }) => name === 'M/M/4' && load > 0.5)
    .map((of) => ({ ...of, station: 'shared' as const }));
  const batch = { name: 'batching, 24', station: 'shared' as const, shape: batching(), load: 0.9, effort: 3 };
  return [...slots, ...shared, batch];
}
