import { invariant, seededRandom } from '@meritorder/kernel';
import { emptyWorkload, MOST_REQUESTS, WorkloadError, type RecordedRequest, type Workload } from './workload.js';

export interface Stretch {
  /** How often the whole is gone through, one after the other; default 1. */
  repeat?: number | undefined;
  /** Above 1 the same requests come in less time, below 1 in more; default 1. */
  speed?: number | undefined;
  /** When the first request comes, ms since the epoch; default: when it came. */
  fromMs?: number | undefined;
}

/** The same requests at other times. @throws WorkloadError when that would be too many */
export function stretched(workload: Workload, { repeat = 1, speed = 1, fromMs }: Stretch): Workload {
  invariant(Number.isInteger(repeat) && repeat >= 1, `repeat: ${repeat} is not a whole number from 1`);
  invariant(speed > 0 && speed < Infinity, `speed: ${speed} is not above 0`);
  const { length } = workload.atMs;
  if (length * repeat > MOST_REQUESTS) throw new WorkloadError(`more than ${MOST_REQUESTS} requests`);
  const first = workload.atMs[0]!;
  const span = workload.atMs[length - 1]! - first;
  // From the last request to the first of the next round: the mean time between two.
  const round = length > 1 ? span + span / (length - 1) : 0;
  // At another time there are other prices, and other windows of budgets.
  const books = fromMs === undefined ? workload.books : undefined;
  const all = { ...workload, ...emptyWorkload(length * repeat), books };
  for (let r = 0; r < repeat; r++) {
    const from = r * length;
    for (let i = 0; i < length; i++)
      all.atMs[from + i] = Math.floor((fromMs ?? first) + (workload.atMs[i]! - first + r * round) / speed);
    all.inputTokens.set(workload.inputTokens, from);
    all.outputTokens.set(workload.outputTokens, from);
    all.profile.set(workload.profile, from);
  }
  const { recorded } = workload;
  return recorded ? { ...all, recorded: Array.from({ length: repeat }, () => recorded).flat() } : all;
}

/**
 * Share of a day's requests in each hour of it (UTC), and of a week's by day from Monday; in hundredths of the mean. From the hourly
 * counts of production clients published as ServeGen (m-small, 14 days), whose first hour is taken for midnight and whose two
 * quietest days in a row for the weekend, since it names neither.
 */
const HOURS = [
  81, 70, 73, 71, 63, 77, 75, 92, 94, 112, 111, 108, 108, 107, 108, 109, 103, 103, 112, 129, 146, 134, 121, 95,
];
const WEEKDAYS = [109, 108, 103, 100, 96, 92, 91];
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** 1970-01-05 was a Monday. */
const FIRST_MONDAY_MS = 4 * DAY_MS;

export interface Generated {
  requests: number;
  fromMs: number;
  /** Exclusive. */
  toMs: number;
  seed: number;
}

/**
 * A Poisson stream with the shape of days and weeks, given how many requests it has: their times are independent, each as likely in
 * an hour as the hour's weight says. Lengths and profiles are drawn from the rows of `sample`, each whole.
 */
export function generated(sample: Workload, { requests, fromMs, toMs, seed }: Generated): Workload {
  invariant(Number.isInteger(requests) && requests >= 1, `requests: ${requests} is not a whole number from 1`);
  invariant(toMs > fromMs, 'a period has an end after its beginning');
  if (requests > MOST_REQUESTS) throw new WorkloadError(`more than ${MOST_REQUESTS} requests`);
  const random = seededRandom(seed);
  const all = { ...sample, ...emptyWorkload(requests), books: undefined };
  orderedUniforms(all.atMs, random);
  atHours(all.atMs, fromMs, toMs);
  const recorded: RecordedRequest[] | undefined = sample.recorded && [];
  for (let i = 0; i < requests; i++) {
    const row = Math.floor(random() * sample.atMs.length);
    all.inputTokens[i] = sample.inputTokens[row]!;
    all.outputTokens[i] = sample.outputTokens[row]!;
    all.profile[i] = sample.profile[row]!;
    recorded?.push(sample.recorded![row]!);
  }
  return recorded ? { ...all, recorded } : all;
}

/** Sorted uniforms in [0, 1) without sorting: sums of exponential gaps over their total. */
function orderedUniforms(values: Float64Array, random: () => number): void {
  let sum = 0;
  for (let i = 0; i < values.length; i++) values[i] = sum -= Math.log(1 - random());
  sum -= Math.log(1 - random());
  for (let i = 0; i < values.length; i++) values[i]! /= sum;
}

/** Shares of the period's requests to instants, hour by hour. */
function atHours(shares: Float64Array, fromMs: number, toMs: number): void {
  let total = 0;
  for (let at = fromMs; at < toMs; at = hourAfter(at)) total += weightAt(at) * (Math.min(hourAfter(at), toMs) - at);
  let [at, before] = [fromMs, 0];
  for (let i = 0; i < shares.length; i++) {
    const wanted = shares[i]! * total;
    for (;;) {
      const mass = weightAt(at) * (Math.min(hourAfter(at), toMs) - at);
      if (before + mass > wanted || hourAfter(at) >= toMs) break;
      before += mass;
      at = hourAfter(at);
    }
    shares[i] = Math.min(toMs - 1, Math.floor(at + (wanted - before) / weightAt(at)));
  }
}

function hourAfter(atMs: number): number {
  return (Math.floor(atMs / HOUR_MS) + 1) * HOUR_MS;
}

function weightAt(atMs: number): number {
  const hour = Math.floor((((atMs % DAY_MS) + DAY_MS) % DAY_MS) / HOUR_MS);
  const day = (((Math.floor((atMs - FIRST_MONDAY_MS) / DAY_MS) % 7) + 7) % 7) | 0;
  return HOURS[hour]! * WEEKDAYS[day]!;
}

/** Lengths where there is no trace to draw them from: log-normal, of the given mean tokens. */
export function logNormalSample(
  mean: { inputTokens: number; outputTokens: number },
  seed: number,
  rows = 10_000,
): Workload {
  const random = seededRandom(seed ^ 0x5eed);
  const sample = { ...emptyWorkload(rows), profiles: [{ attributes: {} }] };
  const length = (of: number): number => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(1, Math.min(1_000_000, Math.round(of * Math.exp(normal * SPREAD - (SPREAD * SPREAD) / 2))));
  };
  for (let i = 0; i < rows; i++) {
    sample.inputTokens[i] = length(mean.inputTokens);
    sample.outputTokens[i] = length(mean.outputTokens);
  }
  return sample;
}

/** Deviation of the logarithm of a length, a choice: of 100 requests five are beyond 3.7 times the median. */
const SPREAD = 0.8;
