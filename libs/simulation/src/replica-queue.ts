import type { BackendConfig } from '@meritorder/contracts';
import {
  batchingShape,
  Congestion,
  engineSpeed,
  enginePrior,
  gpuSecondsOfWork,
  slotsShape,
  type EngineSpeed,
  type TokenWork,
} from '@meritorder/fleet-core';
import { configuredThroughput, decodeAtBatch } from '@meritorder/hardware-core';

/** Of a mix before any was seen. */
const MEAN_AT_START: TokenWork = { inputTokens: 1_000, outputTokens: 200 };
const MEAN_MEMORY = 200;
const SHAPE_MOVES = 1.25;
/** A cloud backend where the operator says nothing; as in the router. */
const CLOUD = { firstTokenSeconds: 0.6, secondsPerToken: 0.02 };

/** One backend in virtual time: what is in flight, how long an answer takes, and what one more costs the others. */
export class SimulatedBackend {
  inFlight = 0;
  private readonly speed: EngineSpeed | undefined;
  private congestion: Congestion | undefined;
  private mean = MEAN_AT_START;
  private shapeOf = MEAN_AT_START;

  constructor(readonly config: BackendConfig) {
    const { throughput, maxConcurrency } = config;
    if (config.kind !== 'local') return;
    if (throughput) {
      const decode = throughput.decodeTokensPerSecond;
      this.speed = engineSpeed(configuredThroughput(throughput), maxConcurrency, (batch) =>
        typeof decode === 'number' ? decode : decodeAtBatch(decode, batch),
      );
    }
    this.reshape();
  }

  hasRoom(slotsLeftFree: number): boolean {
    const { maxConcurrency, kind } = this.config;
    return this.inFlight < maxConcurrency - (kind === 'local' ? Math.floor(slotsLeftFree * maxConcurrency) : 0);
  }

  numbers(work: TokenWork, usdPerSecondWaited: number): { gpuSeconds: number; usdPerGpuSecond: number } {
    if (!this.congestion) return { gpuSeconds: 0, usdPerGpuSecond: 0 };
    return {
      gpuSeconds: this.speed ? gpuSecondsOfWork(this.speed, work) : this.congestion.shape.gpuSecondsPerRequest,
      usdPerGpuSecond: this.congestion.usdPerGpuSecond(this, usdPerSecondWaited),
    };
  }

  /** Of an answer that starts now, itself in flight; at the batch of its start. */
  seconds({ inputTokens, outputTokens }: TokenWork): number {
    const inFlight = this.inFlight + 1;
    const prior = this.speed ? enginePrior(this.speed, { inputTokens, outputTokens }, inFlight) : undefined;
    const first = prior?.firstTokenSeconds ?? this.config.latency?.firstTokenSeconds ?? CLOUD.firstTokenSeconds;
    const token = prior?.secondsPerOutputToken ?? this.config.latency?.secondsPerToken ?? CLOUD.secondsPerToken;
    return first + token * Math.max(0, outputTokens - 1);
  }

  learn({ inputTokens, outputTokens }: TokenWork): void {
    if (this.config.kind !== 'local') return;
    const share = 1 / MEAN_MEMORY;
    this.mean = {
      inputTokens: this.mean.inputTokens * (1 - share) + inputTokens * share,
      outputTokens: this.mean.outputTokens * (1 - share) + outputTokens * share,
    };
    if (
      moved(this.shapeOf.inputTokens, this.mean.inputTokens) ||
      moved(this.shapeOf.outputTokens, this.mean.outputTokens)
    )
      this.reshape();
  }

  private reshape(): void {
    this.shapeOf = this.mean;
    const { maxConcurrency } = this.config;
    this.congestion = new Congestion(
      this.speed ? batchingShape(this.speed, this.mean) : slotsShape(maxConcurrency, this.seconds(this.mean)),
    );
  }
}

function moved(a: number, b: number): boolean {
  return Math.max(a, b) > SHAPE_MOVES * Math.max(1, Math.min(a, b));
}
