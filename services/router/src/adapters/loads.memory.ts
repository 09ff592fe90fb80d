import { HEDGE_LOST, hostOfUsage, UsageAttemptClosedV1, type BackendConfig } from '@meritorder/contracts';
import {
  backendPrior,
  chanceLate,
  engineSpeed,
  expectedLateSeconds,
  expectedSeconds,
  timesFor,
  gpuSecondsOfWork,
  hedgeAfterSeconds,
  isMeasured,
  latencyOf,
  learnedTime,
  MEAN_WORK_AT_START,
  meanWork,
  measuredTime,
  measuresFadeInSeconds,
  NO_LATENCY,
  observeLatency,
  secondsWhereAtLeast,
  ownCongestion,
  USD_PER_SECOND_WAITED,
  workHasMoved,
  type Congestion,
  type EngineSpeed,
  type Latency,
  type LatencyObservation,
  type LatencyPrior,
  type LearnedLatency,
  type TokenWork,
} from '@meritorder/fleet-core';
import { configuredThroughput, decodeAtBatch, prefillTokens } from '@meritorder/hardware-core';
import { decodeJson } from '@meritorder/messaging';
import type { ExpectedTokens, Loads, ReplicaLoad } from '../application/ports.js';

interface BackendLoad {
  speed: EngineSpeed | undefined;
  capacity: number;
  congestion: Congestion | undefined;
  /** Of which the shape was made. */
  shapeOf: TokenWork;
  mean: TokenWork;
  latency: LearnedLatency;
}

/** What the fleet says of a backend's load, over all its workers. */
export interface FleetLoad {
  load(backend: string): ReplicaLoad;
}

/**
 * Congestion prices and latencies: from heartbeats, the configured throughput of own hardware, and what closed attempts took.
 * Every router hears of every attempt, so all learn the same.
 */
export class LearningLoads implements Loads {
  private readonly known = new Map<string, BackendLoad>();

  constructor(
    private readonly backends: { get(id: string): BackendConfig | undefined },
    private readonly fleet: FleetLoad,
  ) {}

  load(backend: BackendConfig): ReplicaLoad {
    const load = this.fleet.load(backend.id);
    return { ...load, capacity: Math.max(1, load.capacity) };
  }

  numbers(
    backend: BackendConfig,
    tokens: ExpectedTokens,
    wish: Parameters<Loads['numbers']>[2],
    nowMs: number,
    isIdle = false,
  ): ReturnType<Loads['numbers']> {
    const mayBeLate = wish.usdPerSecondLate > 0 && wish.targetSeconds < Infinity;
    // What is not counted is not worked out: of many backends that would be most of a decision's time.
    const hasCeiling = wish.maxLatencySeconds !== undefined || wish.maxFirstTokenSeconds !== undefined;
    const { deadlineSeconds } = wish;
    if (backend.kind === 'cloud' && !mayBeLate && !hasCeiling && deadlineSeconds === undefined) return NOT_CONGESTED;
    const load = this.seen(backend, isIdle);
    const own = this.ofBackend(backend, load.capacity);
    const { congestion } = own;
    const work = workOf(backend, tokens);
    // A second more costs those that wait only where it makes them late, of which this request's own chance is the best guess.
    const usdPerSecond = wish.usdPerSecondLate > 0 ? wish.usdPerSecondLate : USD_PER_SECOND_WAITED;
    const latency =
      mayBeLate || deadlineSeconds !== undefined ? this.latency(backend, own, load, work, nowMs) : undefined;
    const late = mayBeLate ? latency : undefined;
    const measured =
      hasCeiling && isMeasured(own.latency, load.inFlight, nowMs)
        ? this.latency(backend, own, load, work, nowMs, 0, measuredTime)
        : undefined;
    return {
      gpuSeconds: congestion ? gpuSecondsOf(own, congestion, work) : 0,
      usdPerGpuSecond: congestion
        ? congestion.usdPerGpuSecond(load, late ? usdPerSecond * chanceLate(late, wish.targetSeconds) : usdPerSecond)
        : 0,
      lateSeconds: late ? expectedLateSeconds(late, wish.targetSeconds) : 0,
      ...(latency ? { latencySeconds: expectedSeconds(latency) } : {}),
      ...(latency && deadlineSeconds !== undefined ? { inTimeChance: 1 - chanceLate(latency, deadlineSeconds) } : {}),
      ...(measured ? timesFor(wish, measured) : {}),
    };
  }

  askAgainInSeconds(backend: BackendConfig, excessSeconds: number, nowMs: number): number {
    const load = this.load(backend);
    const isQueue = backend.kind === 'local' && load.inFlight > 0;
    const own = this.ofBackend(backend, load.capacity);
    return Math.max(1, Math.ceil(isQueue ? excessSeconds : measuresFadeInSeconds(own.latency, nowMs)));
  }

  latencySeconds(backend: BackendConfig, tokens: ExpectedTokens, nowMs: number, isIdle = false): number {
    const load = this.seen(backend, isIdle);
    const own = this.ofBackend(backend, load.capacity);
    return expectedSeconds(this.latency(backend, own, load, workOf(backend, tokens), nowMs));
  }

  hedgeAfterSeconds(
    backend: BackendConfig,
    tokens: ExpectedTokens,
    { streams, outputDeviation, share }: Parameters<Loads['hedgeAfterSeconds']>[2],
    nowMs: number,
  ): number {
    const load = this.load(backend);
    const own = this.ofBackend(backend, load.capacity);
    const latency = this.latency(backend, own, load, workOf(backend, tokens), nowMs, outputDeviation);
    return hedgeAfterSeconds({ ...latency, firstToken: streams ? latency.firstToken : latency.answer }, share);
  }

  private seen(backend: BackendConfig, isIdle: boolean): ReplicaLoad {
    const load = this.load(backend);
    return isIdle ? { ...load, ...NOTHING_IN_FLIGHT } : load;
  }

  private latency(
    backend: BackendConfig,
    own: BackendLoad,
    load: { inFlight: number },
    work: TokenWork,
    nowMs: number,
    outputDeviation = 0,
    timeOf = learnedTime,
  ): Latency {
    return latencyOf(
      own.latency,
      priorOf(backend, own, work, load.inFlight + 1),
      {
        outputTokens: Math.max(1, work.outputTokens),
        outputDeviation,
        ...(own.congestion ? { waitSeconds: own.congestion.waitSeconds(load) } : {}),
      },
      nowMs,
      timeOf,
    );
  }

  /** @throws PoisonMessage for what is not a closed attempt, Error for one of somebody else's backend (by its subject, which NATS checks). */
  heardClosed(data: Uint8Array, subject: string, nowMs: number): void {
    const closed = decodeJson(UsageAttemptClosedV1, data);
    const backend = this.backends.get(closed.backend);
    if (!backend) return;
    if (hostOfUsage(subject) !== backend.host) throw new Error(`${subject} may not speak for ${closed.backend}`);
    if (closed.code === HEDGE_LOST && closed.sent) return this.waitedInVain(backend, closed, nowMs);
    if (closed.code === 'timeout' && closed.sent) return this.ranOutOfTime(backend, closed, nowMs);
    if (closed.outcome !== 'finished' || !closed.usage) return;
    const { inputTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens, outputTokens } = closed.usage;
    const own = this.ofBackend(backend, this.load(backend).capacity);
    const work = workOf(backend, {
      inputTokens: inputTokens + cacheReadTokens + cacheWrite5mTokens + cacheWrite1hTokens,
      cacheReadTokens,
      outputTokens,
    });
    own.mean = meanWork(own.mean, work);
    const { firstTokenMs, durationMs, streamed } = closed;
    if (firstTokenMs === undefined) return;
    const prior = priorOf(backend, own, work, closed.concurrency ?? 1);
    own.latency = observeLatency(
      own.latency,
      streamed === false
        ? wholeAnswer(prior, firstTokenMs / 1_000, outputTokens)
        : {
            prior,
            firstTokenSeconds: firstTokenMs / 1_000,
            secondsPerOutputToken:
              outputTokens > 1 ? (durationMs - firstTokenMs) / 1_000 / (outputTokens - 1) : undefined,
          },
      nowMs,
    );
  }

  /**
   * Whoever lost to its hedge would have been slower than it was waited for. Without that only the fast ones would be known, and
   * ever more be taken for slow.
   */
  private waitedInVain(backend: BackendConfig, closed: UsageAttemptClosedV1, nowMs: number): void {
    const { expected, firstTokenMs, durationMs, hedgeOf, streamed } = closed;
    if (expected === undefined) return;
    const own = this.ofBackend(backend, this.load(backend).capacity);
    const outputTokens = expected.outputTokens * expected.choices;
    const work = workOf(backend, { ...expected, outputTokens });
    const prior = priorOf(backend, own, work, closed.concurrency ?? 1);
    const seconds = (firstTokenMs ?? durationMs) / 1_000;
    const known = latencyOf(own.latency, prior, { outputTokens: Math.max(1, outputTokens) }, nowMs);
    const middle = streamed === false ? known.answer : known.firstToken;
    // A hedge is ended whenever the first attempt answers, and so is one that was not waited for: that says nothing of their speed.
    const saysNothing = hedgeOf !== undefined || Math.log(seconds) <= middle.meanLog;
    if (!(seconds > 0) || (firstTokenMs === undefined && saysNothing)) return;
    own.latency = observeLatency(
      own.latency,
      streamed === false ? wholeAnswer(prior, seconds, outputTokens) : { prior, firstTokenSeconds: seconds },
      nowMs,
    );
  }

  /**
   * What was broken off for want of time would have taken longer. Without that a backend whose answers all come too late would be
   * taken for what it was before, and be asked, and charged for, again and again.
   */
  private ranOutOfTime(backend: BackendConfig, closed: UsageAttemptClosedV1, nowMs: number): void {
    const { expected, firstTokenMs, durationMs, streamed } = closed;
    if (expected === undefined) return;
    const own = this.ofBackend(backend, this.load(backend).capacity);
    const outputTokens = expected.outputTokens * expected.choices;
    const prior = priorOf(backend, own, workOf(backend, { ...expected, outputTokens }), closed.concurrency ?? 1);
    const known = latencyOf(own.latency, prior, { outputTokens: Math.max(1, outputTokens) }, nowMs);
    own.latency = observeLatency(
      own.latency,
      streamed === false
        ? wholeAnswer(prior, secondsWhereAtLeast(known.answer, durationMs / 1_000), outputTokens)
        : {
            prior,
            firstTokenSeconds:
              firstTokenMs === undefined
                ? secondsWhereAtLeast(known.firstToken, durationMs / 1_000)
                : firstTokenMs / 1_000,
            secondsPerOutputToken:
              firstTokenMs !== undefined && outputTokens > 1
                ? secondsWhereAtLeast(
                    learnedTime(own.latency.perOutputToken, prior.secondsPerOutputToken, nowMs),
                    (durationMs - firstTokenMs) / 1_000 / (outputTokens - 1),
                  )
                : undefined,
          },
      nowMs,
    );
  }

  private ofBackend(backend: BackendConfig, capacity: number): BackendLoad {
    let own = this.known.get(backend.id);
    if (own === undefined) {
      own = {
        speed: undefined,
        capacity: 0,
        congestion: undefined,
        shapeOf: MEAN_WORK_AT_START,
        mean: MEAN_WORK_AT_START,
        latency: NO_LATENCY,
      };
      this.known.set(backend.id, own);
    }
    if (backend.kind === 'local' && (own.capacity !== capacity || workHasMoved(own.shapeOf, own.mean)))
      shape(own, backend, capacity);
    return own;
  }
}

/** Of an answer that came whole only the sum is known: both of its parts are taken to differ from what was expected by one factor. */
function wholeAnswer(prior: LatencyPrior, seconds: number | undefined, outputTokens: number): LatencyObservation {
  if (seconds === undefined) return { prior };
  const { firstTokenSeconds, secondsPerOutputToken } = prior;
  const more = Math.max(0, outputTokens - 1);
  const factor = seconds / (firstTokenSeconds + secondsPerOutputToken * more);
  return {
    prior,
    firstTokenSeconds: firstTokenSeconds * factor,
    secondsPerOutputToken: more > 0 ? secondsPerOutputToken * factor : undefined,
  };
}

const NOTHING_IN_FLIGHT = { inFlight: 0, waitingInEngine: 0, kvCacheShare: 0 };
const NOT_CONGESTED = { gpuSeconds: 0, usdPerGpuSecond: 0, lateSeconds: 0 } as const;

function gpuSecondsOf({ speed }: BackendLoad, { shape }: Congestion, work: TokenWork): number {
  return speed ? gpuSecondsOfWork(speed, work) : shape.gpuSecondsPerRequest;
}

/** Input that the prefill rate counts, and output. */
function workOf(backend: BackendConfig, tokens: ExpectedTokens): TokenWork {
  const cached = Math.min(tokens.cacheReadTokens, tokens.inputTokens);
  const counts = backend.throughput?.prefillCounts ?? 'uncached';
  return {
    inputTokens: prefillTokens(
      { prefillCounts: counts },
      {
        inputTokens: tokens.inputTokens - cached,
        cacheReadTokens: cached,
        cacheWrite5mTokens: 0,
        cacheWrite1hTokens: 0,
        outputTokens: 0,
      },
    ),
    outputTokens: tokens.outputTokens,
  };
}

function priorOf(backend: BackendConfig, own: BackendLoad, work: TokenWork, inFlight: number): LatencyPrior {
  return backendPrior(backend.latency, own.speed, work, inFlight);
}

function shape(own: BackendLoad, backend: BackendConfig, capacity: number): void {
  own.capacity = capacity;
  own.shapeOf = own.mean;
  const { throughput } = backend;
  if (throughput) {
    const { decodeTokensPerSecond: decode } = throughput;
    own.speed = engineSpeed(configuredThroughput(throughput), capacity, (batch) =>
      typeof decode === 'number' ? decode : decodeAtBatch(decode, batch),
    );
  }
  own.congestion = ownCongestion(own.speed, capacity, own.mean, priorOf(backend, own, own.mean, 1));
}
