import { invariant } from '@meritorder/kernel';
import { MOST_SERVERS } from './erlang.js';

/** How fast one replica works, for a mix of requests; plain JSON, at most 10,001 numbers. Made again when the mix has changed. */
export interface ReplicaShape {
  /** Requests that it works on at once; more of them wait. */
  readonly capacity: number;
  /** Of the mean request while the replica is full. */
  readonly gpuSecondsPerRequest: number;
  /** Requests finished per second with so many in flight, from none to `capacity`; never falls. */
  readonly completionsPerSecond: readonly number[];
}

/** Tokens of a request, or of the mean one. Input that the prefill rate counts: without cache hits, or with them. */
export interface TokenWork {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** What an engine does per second with all its streams together, as configured or fitted. */
export interface EngineSpeed {
  readonly gpus: number;
  readonly prefillTokensPerSecond: number;
  /** By batch: index 0 is not used, 1 to the capacity. */
  readonly decodeTokensPerSecond: readonly number[];
}

/** @param decodeAt the decode rate of the replica at a batch size, tokens per second, for example hardware-core's `decodeAtBatch` */
export function engineSpeed(
  throughput: { gpus: number; prefillTokensPerSecond: number },
  capacity: number,
  decodeAt: (batch: number) => number,
): EngineSpeed {
  checkCapacity(capacity);
  return {
    gpus: throughput.gpus,
    prefillTokensPerSecond: throughput.prefillTokensPerSecond,
    decodeTokensPerSecond: Array.from({ length: capacity + 1 }, (_, batch) => decodeAt(Math.max(1, batch))),
  };
}

/** Seconds of the whole replica that the tokens take with so many requests in flight: prefill + decode, at that batch's rates. */
export function workSeconds(speed: EngineSpeed, tokens: TokenWork, inFlight: number): number {
  const batch = Math.min(speed.decodeTokensPerSecond.length - 1, Math.max(1, Math.round(inFlight)));
  return tokens.inputTokens / speed.prefillTokensPerSecond + tokens.outputTokens / speed.decodeTokensPerSecond[batch]!;
}

/** GPU-seconds of a request on a full replica: what `usdPerGpuSecond` is per. */
export function gpuSecondsOfWork(speed: EngineSpeed, tokens: TokenWork): number {
  return speed.gpus * workSeconds(speed, tokens, speed.decodeTokensPerSecond.length - 1);
}

/**
 * An engine that batches: the requests in flight share the replica, so with n of them `1 / workSeconds(n)` are finished per
 * second. Prefill is not faster in a batch, decode is: with short answers such a replica is nearly one server that all share, and
 * slots that look free are not.
 * @param mean of the requests that come to it
 */
export function batchingShape(speed: EngineSpeed, mean: TokenWork): ReplicaShape {
  const capacity = speed.decodeTokensPerSecond.length - 1;
  const completionsPerSecond = [0];
  for (let n = 1; n <= capacity; n++) {
    const seconds = workSeconds(speed, mean, n);
    invariant(seconds > 0, 'a request without tokens takes no time');
    completionsPerSecond.push(Math.max(completionsPerSecond[n - 1]!, 1 / seconds));
  }
  return { capacity, gpuSecondsPerRequest: gpuSecondsOfWork(speed, mean), completionsPerSecond };
}

/** Slots that do not slow each other down: the M/M/k queue. For a backend without known throughput. */
export function slotsShape(capacity: number, meanServiceSeconds: number, gpus = 1): ReplicaShape {
  checkCapacity(capacity);
  invariant(meanServiceSeconds > 0, `mean service: ${meanServiceSeconds} s is not above 0`);
  return {
    capacity,
    gpuSecondsPerRequest: (gpus * meanServiceSeconds) / capacity,
    completionsPerSecond: Array.from({ length: capacity + 1 }, (_, n) => n / meanServiceSeconds),
  };
}

function checkCapacity(capacity: number): void {
  invariant(
    Number.isInteger(capacity) && capacity >= 1 && capacity <= MOST_SERVERS,
    `capacity: ${capacity} is not 1 to ${MOST_SERVERS}`,
  );
}
