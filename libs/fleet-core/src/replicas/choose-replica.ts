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
  /** What this request costs there, with what it makes others and its caller wait, USD: as it is now. */
  readonly costUsd: number;
  /** The same, were nothing in flight there: what is left of a difference then is no matter of load, which evens out. */
  readonly idleCostUsd: number;
  /** What of it a warm prefix would save, USD; absent: nothing. */
  readonly warmUsd?: number;
}

export interface ReplicaChoice {
  readonly index: number;
  /** Of each replica, for the record of the decision; sums to 1. */
  readonly probabilities: readonly number[];
  /** `only`: it is the only one, or the others lose too much by it. */
  readonly why: 'only' | 'prefix' | 'two-choices';
}

/** The most replicas of one model. */
export const MOST_REPLICAS = 1_000;
/** More waiting requests, or a fuller cache, than this: the replica is saturated (economics, section 8). */
const WAITING_AT_SATURATION = 5;
const KV_CACHE_AT_SATURATION = 0.8;
/** How far above its fair share a replica is loaded for the sake of a warm cache. */
const LOAD_BOUND = 1.25;
/** Who costs so much more than another is not as good as that; below it, costs are not known better. */
const NEAR_EQUAL = 1.25;
/** The unit of the books: what costs less is not told apart. */
const LEAST_LOSS_USD = 1e-9;

/** `max(waiting / 5, kv_cache / 0.8)`: from 1 on a replica is no home for a prefix. */
export function saturationOf({ waiting = 0, kvCacheUse = 0 }: Pick<Replica, 'waiting' | 'kvCacheUse'>): number {
  return Math.max(waiting / WAITING_AT_SATURATION, kvCacheUse / KV_CACHE_AT_SATURATION);
}

/**
 * One replica of a model. Who is dearer than another by more than a quarter, both now and were they idle, is not asked: slower
 * hardware is no equal, whatever it has warm or however the draw falls. Of the others, a prompt with a known prefix goes to the
 * first of the prefix's homes that is not saturated and, with this request, has at most 1.25 times its fair share of what is in
 * flight, rounded up (Mirrokni, Thorup and Zadimoghaddam 2016: consistent hashing with bounded loads; the rounding lets a home take
 * the first request of a quiet fleet); a home may be dearer by as much as a warm prefix saves. Any other goes to the one of two
 * drawn at random that is predicted faster (Mitzenmacher 2001): the fastest of all, by figures a moment old, is what every router
 * would pick at once.
 * @param draws two numbers in [0, 1), independent and uniform
 * @throws InvariantError for no replica, or more than 1,000
 */
export function chooseReplica(
  replicas: readonly Replica[],
  prefix: string | number | undefined,
  draws: readonly [number, number],
): ReplicaChoice {
  const total = replicas.length;
  invariant(total >= 1 && total <= MOST_REPLICAS, `replicas: ${total} is not 1 to ${MOST_REPLICAS}`);
  if (total === 1) return { index: 0, probabilities: [1], why: 'only' };
  const home = prefix === undefined ? undefined : homeOf(replicas, prefix);
  if (home !== undefined) return { index: home, probabilities: surely(home, total), why: 'prefix' };
  const among = replicas.flatMap((replica, i) => (isOutclassed(replica, replicas) ? [] : [i]));
  const count = among.length;
  if (count === 1) return { index: among[0]!, probabilities: surely(among[0]!, total), why: 'only' };
  const first = Math.min(count - 1, Math.floor(draws[0] * count));
  const step = 1 + Math.min(count - 2, Math.floor(draws[1] * (count - 1)));
  const [one, two] = [among[first]!, among[(first + step) % count]!];
  const index = replicas[two]!.predictedSeconds < replicas[one]!.predictedSeconds ? two : one;
  const chances = twoChoiceProbabilities(among.map((i) => replicas[i]!));
  const probabilities = replicas.map(() => 0);
  among.forEach((i, place) => (probabilities[i] = chances[place]!));
  return { index, probabilities, why: 'two-choices' };
}

const surely = (index: number, of: number): number[] => Array.from({ length: of }, (_, i) => (i === index ? 1 : 0));

/**
 * Another is cheaper now, and would be with both idle. By now alone everybody would leave for who is idle this moment, and by idle
 * ones alone the faster would be asked however long its queue.
 * @param worthUsd what may be lost by it, beside what is not told apart
 */
function isOutclassed(replica: Replica, replicas: readonly Replica[], worthUsd = 0): boolean {
  const loses = (costUsd: number, otherUsd: number): boolean =>
    costUsd - otherUsd > Math.max(LEAST_LOSS_USD, worthUsd, (NEAR_EQUAL - 1) * otherUsd);
  return replicas.some(
    (other) => loses(replica.costUsd, other.costUsd) && loses(replica.idleCostUsd, other.idleCostUsd),
  );
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
    const hasRoom = saturationOf(replica) < 1 && replica.inFlight + 1 <= Math.ceil(LOAD_BOUND * fairShare);
    return hasRoom && !(isOutclassed(replica, replicas) && isOutclassed(replica, replicas, replica.warmUsd));
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
