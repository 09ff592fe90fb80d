import type { ReplicaShape } from './replica-shape.js';

/**
 * What one more request makes requests wait: the relative value of a birth-death chain.
 *
 * A replica with n requests finishes m(n) per second, m(k) from its capacity k on; arrivals come at rate L. Alone a request takes
 * 1/m(1), so of n requests n - m(n)/m(1) seconds are lost to waiting or to slower progress in every second: the cost rate c(n).
 * The load is taken to last for an exponential time of mean T (the horizon, 1/T = r); then arrivals stop and what is there is
 * finished. With V(n) and U(n) the expected seconds lost from n on with arrivals and without, D(n) = V(n+1) - V(n) is what one more
 * request adds for all, and u(n) = U(n+1) - U(n):
 *
 *     (r + L + m(n+1)) D(n) = c(n+1) - c(n) + L D(n+1) + m(n) D(n-1) + r u(n)
 *               m(n+1) u(n) = c(n+1) - c(n) + m(n) u(n-1)
 *
 * and in the queue, q = n - k + 1 >= 0, with z the smaller root of L z^2 - (L + m(k) + r) z + m(k) = 0,
 *
 *     D(n) = P + q/m(k) + (D(k-1) - P) z^q,     P = T L/m(k) + u(k-1)
 *
 * a tridiagonal system of k rows whose off-diagonal terms are positive and smaller than the diagonal: one sweep each way, stable
 * for any load. Overload needs no case of its own: in a queue that does not empty before the load ends, every later arrival,
 * T L of them, waits one completion longer, 1/m(k).
 *
 * For slots that do not slow each other down (m(n) = n/s) and T without end this is W(a)/B(n, a) for n < k, Erlang's mean wait over
 * his loss formula; its mean over arrivals is d(L W)/dL, the marginal waiting of the textbook.
 *
 * Sources: Howard, Dynamic Programming and Markov Processes (1960), relative values; Naor, Econometrica 37 (1969), and Mendelson,
 * CACM 28 (1985), the price that makes an arrival pay what it does to others; Krishnan, "Joining the right queue", IEEE TAC 35
 * (1990), relative values of the M/M/k queue.
 *
 * @param arrivalsPerSecond at least 0
 * @param horizonSeconds above 0
 * @returns D(0) ... D(k-1), seconds, of all requests together, the new one included
 */
export function secondsOfOneMore(
  shape: ReplicaShape,
  arrivalsPerSecond: number,
  horizonSeconds: number,
): { all: Float64Array; inQueue: QueueTail } {
  const { capacity, completionsPerSecond: m } = shape;
  const [arrivals, ending, alone, fastest] = [arrivalsPerSecond, 1 / horizonSeconds, m[1]!, m[capacity]!];
  const factors = new Float64Array(capacity);
  const all = new Float64Array(capacity);
  const { z, secondsOfRest } = roots(fastest, arrivals, ending);
  let [factor, value, draining] = [0, 0, 0];
  for (let n = 0; n < capacity; n++) {
    const lost = 1 - (m[n + 1]! - m[n]!) / alone;
    draining = (lost + m[n]! * draining) / m[n + 1]!;
    let diagonal = ending + arrivals + m[n + 1]! - m[n]! * factor;
    let known = lost + m[n]! * value + ending * draining;
    if (n === capacity - 1) {
      // The row above it is the queue: D(k) = z D(k-1) + P (1 - z) + 1/m(k).
      diagonal -= arrivals * z;
      known += arrivals * (secondsOfRest * (arrivals / fastest + ending * draining) + 1 / fastest);
    }
    factor = arrivals / diagonal;
    value = known / diagonal;
    factors[n] = factor;
    all[n] = value;
  }
  for (let n = capacity - 2; n >= 0; n--) all[n] = all[n]! + factors[n]! * all[n + 1]!;
  const settled = (horizonSeconds * arrivals) / fastest + draining;
  return { all, inQueue: { settled, z, fastest, atLastSlot: all[capacity - 1]! } };
}

/** D in the queue, as its closed form needs it. */
export interface QueueTail {
  readonly settled: number;
  readonly z: number;
  readonly fastest: number;
  readonly atLastSlot: number;
}

/** D(k - 1 + q) for q >= 0, a whole number or not. */
export function secondsOfOneMoreInQueue({ settled, z, fastest, atLastSlot }: QueueTail, q: number): number {
  return settled + q / fastest + (atLastSlot - settled) * z ** q;
}

/** z, and (1 - z) / r, each without cancellation. */
function roots(fastest: number, arrivals: number, ending: number): { z: number; secondsOfRest: number } {
  const sum = arrivals + fastest + ending;
  const z = (2 * fastest) / (sum + Math.sqrt(Math.max(0, sum * sum - 4 * arrivals * fastest)));
  const spare = fastest + ending - arrivals;
  const root = Math.sqrt(spare * spare + 4 * arrivals * ending);
  return { z, secondsOfRest: spare >= 0 ? 2 / (spare + root) : (root - spare) / (2 * arrivals * ending) };
}
