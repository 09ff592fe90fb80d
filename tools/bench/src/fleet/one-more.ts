import {
  Congestion,
  secondsOfOneMore,
  secondsOfOneMoreInQueue,
  slotsShape,
  type ReplicaShape,
} from '@meritorder/fleet-core';
import { seededRandom } from '@meritorder/kernel';
import { interval95, type Interval } from '../pacing/interval.js';
import { batching } from './queue-theory.js';
import { exponential } from './random-draws.js';
import { stationOf, workOf, type StationKind } from './simulated-queue.js';

/** What one more request costs, by the core and by running the same minutes with it and without it. */
export interface OneMoreAgainstCore {
  name: string;
  servers: number;
  inFlight: number;
  /** Seconds that all lose by it, itself included, and that the others lose: what the congestion price is made of. */
  coreAllSeconds: number;
  coreOthersSeconds: number;
  /** Simulated over the core's, less 1. */
  allError: Interval;
  othersError: Interval;
}

export interface OneMoreSetting {
  name: string;
  station: StationKind;
  shape: ReplicaShape;
  /** Found by the one more. */
  inFlight: number;
  horizonSeconds: number;
  /** Of its pairs, as a factor: what waits rarely is known later. */
  effort: number;
}

/** @param pairs of runs, in batches of which the interval is made */
export function oneMoreAgainstCore(setting: OneMoreSetting, pairs: number, seed: number): OneMoreAgainstCore {
  const { name, shape, inFlight, horizonSeconds, effort } = setting;
  const random = seededRandom(seed);
  const congestion = new Congestion(shape, horizonSeconds);
  const coreAllSeconds = allSecondsOf(shape, inFlight, horizonSeconds);
  const coreOthersSeconds = congestion.othersSeconds({ inFlight });
  const seen = Array.from({ length: BATCHES }, () => meanOf(setting, Math.ceil((effort * pairs) / BATCHES), random));
  return {
    name,
    servers: shape.capacity,
    inFlight,
    coreAllSeconds,
    coreOthersSeconds,
    allError: interval95(seen.map((s) => s.all / coreAllSeconds - 1)),
    othersError: interval95(seen.map((s) => s.others / coreOthersSeconds - 1)),
  };
}

const BATCHES = 20;

/** As the core takes it: as much comes as is finished with so many in flight. */
function arrivalsAt({ capacity, completionsPerSecond: m }: ReplicaShape, inFlight: number): number {
  return m[Math.min(inFlight, capacity)]!;
}

function allSecondsOf(shape: ReplicaShape, inFlight: number, horizonSeconds: number): number {
  const { all, inQueue } = secondsOfOneMore(shape, arrivalsAt(shape, inFlight), horizonSeconds);
  return inFlight < shape.capacity ? all[inFlight]! : secondsOfOneMoreInQueue(inQueue, inFlight - shape.capacity + 1);
}

function meanOf(setting: OneMoreSetting, pairs: number, random: () => number): { all: number; others: number } {
  let [all, others] = [0, 0];
  for (let i = 0; i < pairs; i++) {
    const found = Array.from({ length: setting.inFlight }, () => ({ atSeconds: 0, seconds: exponential(random, 1) }));
    const own = { atSeconds: 0, seconds: exponential(random, 1) };
    const later = arrivalsOf(setting, random);
    const without = secondsInSystem(setting, [...found, ...later]);
    const withIt = secondsInSystem(setting, [...found, own, ...later]);
    const total = (of: Float64Array): number => of.reduce((a, b) => a + b, 0);
    const ownSeconds = withIt[setting.inFlight]!;
    const more = total(withIt) - ownSeconds - total(without);
    others += more;
    all += more + ownSeconds - own.seconds;
  }
  return { all: all / pairs, others: others / pairs };
}

interface Arrival {
  atSeconds: number;
  seconds: number;
}

function arrivalsOf({ shape, inFlight, horizonSeconds }: OneMoreSetting, random: () => number): Arrival[] {
  const between = 1 / arrivalsAt(shape, inFlight);
  const ends = exponential(random, horizonSeconds);
  const all: Arrival[] = [];
  for (let at = exponential(random, between); at < ends; at += exponential(random, between))
    all.push({ atSeconds: at, seconds: exponential(random, 1) });
  return all;
}

/** By arrival. */
function secondsInSystem({ station: kind, shape }: OneMoreSetting, arrivals: readonly Arrival[]): Float64Array {
  const station = stationOf(kind, shape);
  const all = new Float64Array(arrivals.length);
  const finishUntil = (ms: number): void => {
    while (station.nextEndMs <= ms && station.nextEndMs < Infinity) {
      const endSeconds = station.nextEndMs / 1_000;
      const index = station.finish();
      all[index] = endSeconds - arrivals[index]!.atSeconds;
    }
  };
  for (const [index, { atSeconds, seconds }] of arrivals.entries()) {
    finishUntil(atSeconds * 1_000);
    station.enter(index, workOf(seconds), atSeconds * 1_000);
  }
  finishUntil(Infinity);
  return all;
}

const HORIZON_SECONDS = 20;

export function oneMoreSettings(): OneMoreSetting[] {
  const slots = [6, 8, 12].map((inFlight) => ({
    name: 'M/M/8',
    station: 'slots' as const,
    shape: slotsShape(8, 1),
    inFlight,
    horizonSeconds: HORIZON_SECONDS,
    effort: 3,
  }));
  const batch = [4, 12, 20].map((inFlight) => ({
    name: 'batching, 24',
    station: 'shared' as const,
    shape: batching(),
    inFlight,
    horizonSeconds: HORIZON_SECONDS,
    effort: 0.5,
  }));
  return [...slots, ...batch];
}
