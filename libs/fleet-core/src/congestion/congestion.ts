import { invariant } from '@meritorder/kernel';
import { secondsOfOneMore, secondsOfOneMoreInQueue, type QueueTail } from './one-more.js';
import type { ReplicaShape } from './replica-shape.js';

/** What is known of a replica now. Counts may be a mean of several reports. */
export interface ReplicaLoad {
  /** Requests that it works on, with this router's own dispatches since the last report. */
  readonly inFlight: number;
  /** Requests that wait in front of it. */
  readonly waiting?: number;
  /** Share of the engine's key-value cache in use, 0..1. */
  readonly kvCacheUse?: number;
}

/** How long the present load is taken to last, where nothing else is said; chosen in `npm run bench:fleet` (README). */
export const HORIZON_SECONDS = 60;

/**
 * The congestion of one replica, computed once per load that it meets: looking up a load met before takes no time worth
 * mentioning, a new one takes a pass over the capacity. Derived from its shape alone, so it need not be kept.
 *
 * The load is taken to be the one at which the requests in flight would stay as many as they are: as much comes as is finished.
 * So price and wait follow from what is in flight, rise with it smoothly from 0 when nothing is, and are finite when full or
 * overloaded, where it nears one second for each second of the horizon. Nothing says *local first* or *spill*: cloud wins
 * where the price of making others wait exceeds what it charges, and loses again when requests have left.
 */
export class Congestion {
  private readonly met: Float64Array;
  private readonly fastest: number;
  private full: QueueTail | undefined;

  /** @throws InvariantError for a shape or horizon that is none. */
  constructor(
    readonly shape: ReplicaShape,
    readonly horizonSeconds = HORIZON_SECONDS,
  ) {
    const { capacity, completionsPerSecond } = shape;
    invariant(completionsPerSecond.length === capacity + 1, 'a shape has a rate for none to all slots');
    invariant(completionsPerSecond[1]! > 0, 'a replica finishes requests');
    invariant(horizonSeconds > 0 && horizonSeconds < Infinity, 'a horizon is above 0 and has an end');
    this.fastest = completionsPerSecond[capacity]!;
    this.met = new Float64Array(capacity).fill(-1);
  }

  /** Seconds until a request that comes now is worked on; 0 while there is a free slot. */
  waitSeconds(load: ReplicaLoad): number {
    return Math.max(0, occupied(load, this.shape.capacity) - this.shape.capacity + 1) / this.fastest;
  }

  /**
   * Seconds that one more mean request makes all OTHER requests lose, now and by the queue it lengthens. What it waits itself is
   * not in it: that is its own lateness.
   */
  othersSeconds(load: ReplicaLoad): number {
    const { capacity } = this.shape;
    const n = occupied(load, capacity);
    const below = Math.floor(n);
    if (below >= capacity) return this.beyondSlots(n);
    const at = this.atCount(below);
    if (n === below) return at;
    const above = below + 1 < capacity ? this.atCount(below + 1) : this.beyondSlots(below + 1);
    return at + (n - below) * (above - at);
  }

  /**
   * The congestion price (lambda_gpu) in USD per GPU-second of a request.
   * @param usdPerSecondLate what a second more costs a request of the mix: its price of lateness times its chance to be late
   */
  usdPerGpuSecond(load: ReplicaLoad, usdPerSecondLate: number): number {
    return (usdPerSecondLate * this.othersSeconds(load)) / this.shape.gpuSecondsPerRequest;
  }

  private atCount(n: number): number {
    const known = this.met[n]!;
    if (known >= 0) return known;
    const { all } = secondsOfOneMore(this.shape, this.shape.completionsPerSecond[n]!, this.horizonSeconds);
    return (this.met[n] = Math.max(0, all[n]! - this.ownSlowing(n + 1)));
  }

  /** Without the wait for those ahead, q / m(k), which is the new request's own. */
  private beyondSlots(n: number): number {
    const { capacity } = this.shape;
    this.full ??= secondsOfOneMore(this.shape, this.fastest, this.horizonSeconds).inQueue;
    const q = n - capacity + 1;
    return Math.max(0, secondsOfOneMoreInQueue(this.full, q) - q / this.fastest - this.ownSlowing(capacity));
  }

  /** What the new request itself loses by going slower in a batch than alone. */
  private ownSlowing(inFlight: number): number {
    const m = this.shape.completionsPerSecond;
    return inFlight / m[inFlight]! - 1 / m[1]!;
  }
}

/** A full cache stops a replica as full slots do: the fuller of the two says how full it is. */
function occupied({ inFlight, waiting = 0, kvCacheUse = 0 }: ReplicaLoad, capacity: number): number {
  return Math.max(inFlight, capacity * kvCacheUse) + waiting;
}
