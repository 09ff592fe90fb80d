import { invariant } from '@meritorder/kernel';
import { homesOf } from './prefix-home.js';

/** A replica that may take the request: alive, with room, its breaker closed. */
export interface Replica {
  readonly id: string;
  /** As this router sees it: the last report and its own dispatches since. */
  readonly inFlight: number;
  readonly capacity: number;
  readonly waiting?: number;
  /** 0..1 */
  readonly kvCacheUse?: number;
  /** Expected for this request. */
  readonly predictedSeconds: number;
}

export interface ReplicaChoice {
  readonly index: number;
  /** Of each replica, for the record of the decision; sums to 1. */
  readonly probabilities: readonly number[];
  readonly why: 'only' | 'prefix' | 'two-choices';
}

/** The most replicas of one model. */
export const MOST_REPLICAS = 1_000;
/** More waiting requests, or a fuller cache, than this: the replica is saturated (economics, section 8). */
const WAITING_AT_SATURATION = 5;
const KV_CACHE_AT_SATURATION = 0.8;
/** How far above its fair share a replica is loaded for the sake of a warm cache. */
const LOAD_BOUND = 1.25;

/** `max(waiting / 5, kv_cache / 0.8)`: from 1 on a replica is no home for a prefix. */
export function saturationOf({ waiting = 0, kvCacheUse = 0 }: Pick<Replica, 'waiting' | 'kvCacheUse'>): number {
  return Math.max(waiting / WAITING_AT_SATURATION, kvCacheUse / KV_CACHE_AT_SATURATION);
}

/**
 * One replica of a model. A prompt with a known prefix goes to the first of the prefix's homes that is not saturated and, with this
 * request, has at most 1.25 times its fair share of what is in flight, rounded up (Mirrokni, Thorup and Zadimoghaddam 2016:
 * consistent hashing with bounded loads; the rounding lets a home take the first request of a quiet fleet). Any other goes to the
 * one of two drawn at random that is predicted faster (Mitzenmacher 2001): the fastest of all, by figures a moment old, is what
 * every router would pick at once.
 * @param draws two numbers in [0, 1), independent and uniform
 * @throws InvariantError for no replica, or more than 1,000
 */
export function chooseReplica(
  replicas: readonly Replica[],
  prefix: string | number | undefined,
  draws: readonly [number, number],
): ReplicaChoice {
  const count = replicas.length;
  invariant(count >= 1 && count <= MOST_REPLICAS, `replicas: ${count} is not 1 to ${MOST_REPLICAS}`);
  if (count === 1) return { index: 0, probabilities: [1], why: 'only' };
  const home = prefix === undefined ? undefined : homeOf(replicas, prefix);
  if (home !== undefined) {
    return { index: home, probabilities: replicas.map((_, i) => (i === home ? 1 : 0)), why: 'prefix' };
  }
  const first = Math.min(count - 1, Math.floor(draws[0] * count));
  const step = 1 + Math.min(count - 2, Math.floor(draws[1] * (count - 1)));
  const second = (first + step) % count;
  const index = replicas[second]!.predictedSeconds < replicas[first]!.predictedSeconds ? second : first;
  return { index, probabilities: twoChoiceProbabilities(replicas), why: 'two-choices' };
}

function homeOf(replicas: readonly Replica[], prefix: string | number): number | undefined {
  const inFlight = replicas.reduce((sum, r) => sum + r.inFlight, 0);
  const capacity = replicas.reduce((sum, r) => sum + r.capacity, 0);
  const homes = homesOf(
    prefix,
    replicas.map((r) => r.id),
  );
  return homes.find((i) => {
    const replica = replicas[i]!;
    const fairShare = ((inFlight + 1) * replica.capacity) / capacity;
    return saturationOf(replica) < 1 && replica.inFlight + 1 <= Math.ceil(LOAD_BOUND * fairShare);
  });
}

/** Of all ordered pairs of two different replicas, the share in which each is the faster one; equals win half of theirs. */
function twoChoiceProbabilities(replicas: readonly Replica[]): number[] {
  const count = replicas.length;
  const sorted = replicas.map((r) => r.predictedSeconds).sort((a, b) => a - b);
  return replicas.map(({ predictedSeconds }) => {
    const faster = firstAt(sorted, (s) => s >= predictedSeconds);
    const slower = count - firstAt(sorted, (s) => s > predictedSeconds);
    const equal = count - faster - slower - 1;
    return (2 * slower + equal) / (count * (count - 1));
  });
}

/** The first index of a sorted list from which on the condition holds. */
function firstAt(sorted: readonly number[], holds: (value: number) => boolean): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (holds(sorted[middle]!)) to = middle;
    else from = middle + 1;
  }
  return from;
}
