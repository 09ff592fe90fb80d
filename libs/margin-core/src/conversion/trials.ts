/** Requests of one segment, at one backend or at all, and what came of them. Everything decays by the time of the request. */
export interface Trials {
  /** Requests whose outcome window is over: without a conversion by now they have none. */
  over: number;
  /** Requests whose window is open, by the bucket of time they were made in, the oldest first; at most BUCKETS_MOST. */
  pending: [bucket: number, requests: number][];
  /** All of these, each as far as it is ripe: as of the last time that the state was brought forward. */
  ripe: number;
  /** How far that may be off for want of knowledge of delays: its variance as a share of its square. */
  ripeSpread: number;
  conversions: number;
  /** Sum of the qualities expected of the answers, and the requests whose quality was stated. */
  quality: number;
  rated: number;
}

/** Buckets to an outcome window. */
export const BUCKETS_A_WINDOW = 32;
/** Those of a window, and the one that is partly over. */
export const BUCKETS_MOST = BUCKETS_A_WINDOW + 2;

export const noTrials = (): Trials => ({
  over: 0,
  pending: [],
  ripe: 0,
  ripeSpread: 0,
  conversions: 0,
  quality: 0,
  rated: 0,
});

/** Ripe trials, and at least as many as converted: the first conversions come before their requests have ripened. */
export function trialsOf(own: Trials | undefined): number {
  return own === undefined ? 0 : Math.max(own.ripe, own.conversions);
}

/** All that were answered, ripe or not. */
export function answeredOf(own: Trials | undefined): number {
  return own === undefined ? 0 : own.pending.reduce((sum, [, requests]) => sum + requests, own.over);
}

/** @param ripeness of a request that was just answered, 0..1; an older one's is counted with the next bringing forward */
export function addTrial(
  own: Trials,
  bucket: number,
  weight: number,
  quality: number | undefined,
  ripeness: number,
): void {
  own.ripe += weight * ripeness;
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

/** How ripe buckets of requests are by one supposed distribution of delays, and its chance. */
export interface SupposedRipeness {
  readonly chance: number;
  /** The first open bucket. */
  readonly oldest: number;
  /** By bucket from there: the share that is ripe, 0..1, and the standard deviation of that. */
  readonly ripe: readonly number[];
  readonly deviation: readonly number[];
}

/**
 * Keeps a share `factor` of the evidence, and counts again how ripe it is.
 *
 * @param oldest buckets before it are over
 */
export function bringForward(own: Trials, factor: number, oldest: number, supposed: readonly SupposedRipeness[]): void {
  own.conversions *= factor;
  own.quality *= factor;
  own.rated *= factor;
  own.over *= factor;
  let past = 0;
  for (const pair of own.pending) {
    pair[1] *= factor;
    if (pair[0] >= oldest) continue;
    own.over += pair[1];
    past++;
  }
  if (past > 0) own.pending.splice(0, past);
  countRipe(own, supposed);
}

function countRipe(own: Trials, supposed: readonly SupposedRipeness[]): void {
  let [mean, square] = [0, 0];
  for (const { chance, oldest, ...of } of supposed) {
    let ripe = own.over;
    // What is wrong about delays is wrong of all requests alike.
    let deviation = 0;
    for (const [bucket, requests] of own.pending) {
      ripe += requests * (of.ripe[bucket - oldest] ?? 0);
      deviation += requests * (of.deviation[bucket - oldest] ?? 0);
    }
    mean += chance * ripe;
    square += chance * (ripe ** 2 + deviation ** 2);
  }
  own.ripe = mean;
  own.ripeSpread = mean > 0 ? Math.max(0, square / mean ** 2 - 1) : 0;
}
