import type { BackendConfig, CandidateNumbers, DecisionPolicy } from '@meritorder/contracts';
import {
  backendPrior,
  chanceLate,
  engineSpeed,
  expectedLateSeconds,
  expectedSeconds,
  timesFor,
  gpuSecondsOfWork,
  latencyOf,
  MEAN_WORK_AT_START,
  meanWork,
  NO_LATENCY,
  ownCongestion,
  USD_PER_SECOND_WAITED,
  workHasMoved,
  type Congestion,
  type EngineSpeed,
  type Latency,
  type LatencyCeilings,
  type LatencyPrior,
  type Replica,
  type ReplicaLoad,
} from '@meritorder/fleet-core';
import { configuredThroughput, decodeAtBatch } from '@meritorder/hardware-core';
import { UNKNOWN_PRIOR } from '@meritorder/quality-core';
import { servingUsd, type ScoreCandidate } from '@meritorder/routing-core';
import type { PriceTimeline } from '../money/price-timeline.js';
import { Batches, SharedReplica, Slots, type Station, type Work } from './station.js';

export type LoadNumbers = Pick<
  CandidateNumbers,
  | 'gpuSeconds'
  | 'usdPerGpuSecond'
  | 'lateSeconds'
  | 'latencySeconds'
  | 'inTimeChance'
  | 'measuredSeconds'
  | 'measuredFirstTokenSeconds'
>;
/** What is asked of a backend's load. */
export type LoadWish = {
  targetSeconds: number;
  usdPerSecondLate: number;
  deadlineSeconds?: number | undefined;
} & LatencyCeilings;
const NOTHING_IN_FLIGHT: ReplicaLoad = { inFlight: 0, waiting: 0 };
const NOT_CONGESTED: LoadNumbers = { gpuSeconds: 0, usdPerGpuSecond: 0, lateSeconds: 0 };

/** A backend on the virtual clock: one worker with the configured concurrency, never out of order. */
export class SimulatedBackend {
  readonly local: boolean;
  readonly station: Station;
  readonly priorQuality: number;
  /** Backends of one model are replicas. */
  readonly replicaOf: string;
  private readonly speed: EngineSpeed | undefined;
  private congestion: Congestion | undefined;
  private shapeOf = MEAN_WORK_AT_START;
  private mean = MEAN_WORK_AT_START;

  constructor(
    readonly config: BackendConfig,
    readonly prices: PriceTimeline,
    /** In front of a replica that is full; routers dispatch to free slots, so 0 is what they do. */
    private readonly waitingPlaces: number,
  ) {
    this.local = config.kind === 'local';
    this.replicaOf = `${config.provider}/${config.model}`;
    this.priorQuality = config.quality?.prior ?? UNKNOWN_PRIOR.quality;
    this.speed = this.local ? speedOf(config) : undefined;
    this.station = config.batch
      ? new Batches(config.batch.completionSeconds)
      : this.speed && !config.latency
        ? new SharedReplica(this.speed)
        : new Slots(config.maxConcurrency, (work) => secondsOf(this.priorOf(work, 1), work));
    if (this.local) this.shape();
  }

  /**
   * @param slotsLeftFree share of a replica's slots that is left to requests of a higher priority, 0..1
   * @param seen its load as who asks sees it
   */
  hasRoom(slotsLeftFree: number, seen: ReplicaLoad = this.station): boolean {
    const { capacity } = this.station;
    const { inFlight, waiting = 0 } = seen;
    if (!this.local) return inFlight < capacity;
    return inFlight + waiting < capacity - Math.floor(slotsLeftFree * capacity) + this.waitingPlaces;
  }

  /** Congestion and lateness as a router works them out. Seconds, USD. */
  numbers(work: Work, wish: LoadWish, seen: ReplicaLoad = this.station): LoadNumbers {
    const mayBeLate = wish.usdPerSecondLate > 0 && wish.targetSeconds < Infinity;
    const hasCeiling = wish.maxLatencySeconds !== undefined || wish.maxFirstTokenSeconds !== undefined;
    const { deadlineSeconds } = wish;
    const hasDeadline = deadlineSeconds !== undefined;
    if (!this.local && !mayBeLate && !hasCeiling && !hasDeadline) return NOT_CONGESTED;
    // A second more costs those that wait only where it makes them late, of which this request's own chance is the best guess.
    const usdPerSecond = wish.usdPerSecondLate > 0 ? wish.usdPerSecondLate : USD_PER_SECOND_WAITED;
    const { congestion, speed } = this;
    const latency = mayBeLate || hasCeiling || hasDeadline ? this.latency(work, seen) : undefined;
    return {
      gpuSeconds: congestion ? (speed ? gpuSecondsOfWork(speed, work) : congestion.shape.gpuSecondsPerRequest) : 0,
      usdPerGpuSecond: congestion
        ? congestion.usdPerGpuSecond(
            seen,
            latency && mayBeLate ? usdPerSecond * chanceLate(latency, wish.targetSeconds) : usdPerSecond,
          )
        : 0,
      lateSeconds: latency && mayBeLate ? expectedLateSeconds(latency, wish.targetSeconds) : 0,
      ...(latency ? { latencySeconds: expectedSeconds(latency) } : {}),
      ...(latency && hasDeadline ? { inTimeChance: 1 - chanceLate(latency, deadlineSeconds) } : {}),
      // What is configured is how it behaves here, so it need not be measured first.
      ...(latency ? timesFor(wish, latency) : {}),
    };
  }

  expectedSeconds(work: Work, seen: ReplicaLoad = this.station): number {
    return expectedSeconds(this.latency(work, seen));
  }

  /** It as one of several, for the choice among them. */
  replica(
    numbers: ScoreCandidate,
    work: Work,
    wish: LoadWish,
    policy: DecisionPolicy,
    seen: ReplicaLoad = this.station,
  ): Replica {
    const { latencySeconds: predictedSeconds = this.expectedSeconds(work, seen) } = numbers;
    const idle = this.numbers(work, wish, NOTHING_IN_FLIGHT);
    const { latencySeconds: idleSeconds = this.expectedSeconds(work, NOTHING_IN_FLIGHT) } = idle;
    return {
      id: this.config.id,
      inFlight: seen.inFlight,
      ...(seen.waiting === undefined ? {} : { waiting: seen.waiting }),
      capacity: this.station.capacity,
      predictedSeconds,
      costUsd: servingUsd(policy, numbers, predictedSeconds, USD_PER_SECOND_WAITED),
      idleCostUsd: servingUsd(policy, { ...numbers, ...idle }, idleSeconds, USD_PER_SECOND_WAITED),
    };
  }

  /** What an attempt that ended was: congestion is that of the mean one. */
  learn(work: Work): void {
    if (!this.local) return;
    this.mean = meanWork(this.mean, work);
    if (workHasMoved(this.shapeOf, this.mean)) this.shape();
  }

  private latency(work: Work, seen: ReplicaLoad): Latency {
    const { congestion } = this;
    return latencyOf(
      NO_LATENCY,
      this.priorOf(work, seen.inFlight + 1),
      {
        outputTokens: Math.max(1, work.outputTokens),
        ...(congestion ? { waitSeconds: congestion.waitSeconds(seen) } : {}),
      },
      0,
    );
  }

  private priorOf(work: Work, inFlight: number): LatencyPrior {
    return backendPrior(this.config.latency, this.speed, work, inFlight);
  }

  private shape(): void {
    const { speed, mean, config } = this;
    this.shapeOf = mean;
    this.congestion = ownCongestion(speed, config.maxConcurrency, mean, this.priorOf(mean, 1));
  }
}

function speedOf({ throughput, maxConcurrency }: BackendConfig): EngineSpeed | undefined {
  if (!throughput) return undefined;
  const { decodeTokensPerSecond: decode } = throughput;
  return engineSpeed(configuredThroughput(throughput), maxConcurrency, (batch) =>
    typeof decode === 'number' ? decode : decodeAtBatch(decode, batch),
  );
}

/** Without a spread: what the prior says of its length. */
function secondsOf({ firstTokenSeconds, secondsPerOutputToken }: LatencyPrior, { outputTokens }: Work): number {
  return firstTokenSeconds + secondsPerOutputToken * Math.max(0, outputTokens - 1);
}
