import { engineSpeed, type ReplicaShape } from '@meritorder/fleet-core';
import { SharedReplica, Slots, type Station } from '@meritorder/simulation-core';
import { exponential, steadyCount } from './random-draws.js';

/** The two stations that `meritorder simulate` and the trace's simulation run on. */
export type StationKind = 'slots' | 'shared';

/** Work of one second alone; so many that a token more or less is nothing. */
export const TOKENS_PER_SECOND = 1e9;

/** A station that works as the shape says, on requests without a prompt: exponential lengths make it that birth-death queue. */
export function stationOf(kind: StationKind, shape: ReplicaShape): Station {
  const { capacity, completionsPerSecond: m } = shape;
  if (kind === 'slots') return new Slots(capacity, ({ outputTokens }) => outputTokens / TOKENS_PER_SECOND);
  // Of requests that are one second long alone.
  const speed = engineSpeed({ gpus: 1, prefillTokensPerSecond: Infinity }, capacity, (n) => m[n]! * TOKENS_PER_SECOND);
  return new SharedReplica(speed);
}

export function workOf(seconds: number): { inputTokens: number; outputTokens: number } {
  return { inputTokens: 0, outputTokens: seconds * TOKENS_PER_SECOND };
}

export interface QueueRun {
  /** Mean work x arrivals, as drawn, over what was to be expected, less 1. */
  offeredMore: number;
  /** Mean over time of those that wait, and of all in the system, each per arrival a second: by Little's law, seconds. */
  waitSeconds: number;
  inSystemSeconds: number;
}

/** Poisson arrivals of exponential length, mean 1 s alone, from a steady state on; ends with the last of so many arrivals. */
export function runQueue(
  kind: StationKind,
  shape: ReplicaShape,
  arrivalsPerSecond: number,
  arrivals: number,
  random: () => number,
): QueueRun {
  const station = stationOf(kind, shape);
  let [nowMs, waiting, inSystem, work, id] = [0, 0, 0, 0, 0];
  for (let n = steadyCount(random, shape, arrivalsPerSecond); n > 0; n--)
    station.enter(id++, workOf(exponential(random, 1)), 0);
  const until = (toMs: number): void => {
    waiting += station.waiting * (toMs - nowMs);
    inSystem += (station.waiting + station.inFlight) * (toMs - nowMs);
    nowMs = toMs;
  };
  for (let i = 0; i < arrivals; i++) {
    const comesMs = nowMs + exponential(random, 1_000 / arrivalsPerSecond);
    while (station.nextEndMs <= comesMs) {
      until(station.nextEndMs);
      station.finish();
    }
    until(comesMs);
    const seconds = exponential(random, 1);
    work += seconds;
    station.enter(id++ % 2 ** 31, workOf(seconds), nowMs);
  }
  const perArrival = nowMs * arrivalsPerSecond;
  return {
    offeredMore: (work * 1_000) / nowMs / arrivalsPerSecond - 1,
    waitSeconds: waiting / perArrival,
    inSystemSeconds: inSystem / perArrival,
  };
}
