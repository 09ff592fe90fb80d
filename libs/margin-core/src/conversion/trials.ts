/** Requests of one segment, at one backend or at all, and what came of them. Everything decays by the time of the request. */
export interface Trials {
  /** Requests whose outcome window is over: without a conversion by now they have none. */
  over: number;
  /** Requests whose window is open, by the bucket of time they were made in, the oldest first; at most BUCKETS_MOST. */
  pending: [bucket: number, requests: number][];
  /** All of these, each as far as it is ripe: as of the last time that the state was brought forward. */
  ripe: number;
  conversions: number;
  /** Sum of the qualities expected of the answers, and the requests whose quality was stated. */
  quality: number;
  rated: number;
}

/** Buckets to an outcome window. */
export const BUCKETS_A_WINDOW = 32;
/** Those of a window, and the one that is partly over. */
export const BUCKETS_MOST = BUCKETS_A_WINDOW + 2;

export const noTrials = (): Trials => ({ over: 0, pending: [], ripe: 0, conversions: 0, quality: 0, rated: 0 });

/** Ripe trials, and at least as many as converted: the first conversions come before their requests have ripened. */
export function trialsOf(own: Trials | undefined): number {
  return own === undefined ? 0 : Math.max(own.ripe, own.conversions);
}

export function addTrial(own: Trials, bucket: number, weight: number, quality: number | undefined): void {
  if (quality !== undefined) {
    own.quality += weight * quality;
    own.rated += weight;
  }
  let at = own.pending.length;
  while (at > 0 && (own.pending[at - 1] as [number, number])[0] > bucket) at--;
  const before = own.pending[at - 1];
  if (before?.[0] === bucket) before[1] += weight;
  else own.pending.splice(at, 0, [bucket, weight]);
}

/** A request that is learned of when its window is over already. */
export function addOver(own: Trials, weight: number, quality: number | undefined): void {
  if (quality !== undefined) {
    own.quality += weight * quality;
    own.rated += weight;
  }
  own.over += weight;
  own.ripe += weight;
}

/**
 * Keeps a share `factor` of the evidence, and counts again how ripe it is.
 *
 * @param oldest buckets before it are over
 * @param ripenessOf of a bucket, 0..1
 */
export function bringForward(
  own: Trials,
  factor: number,
  oldest: number,
  ripenessOf: (bucket: number) => number,
): void {
  own.conversions *= factor;
  own.quality *= factor;
  own.rated *= factor;
  own.over *= factor;
  let ripe = 0;
  let past = 0;
  for (const pair of own.pending) {
    pair[1] *= factor;
    if (pair[0] < oldest) {
      own.over += pair[1];
      past++;
    } else ripe += pair[1] * ripenessOf(pair[0]);
  }
  if (past > 0) own.pending.splice(0, past);
  own.ripe = own.over + ripe;
}
